#pragma once

#include <functional>
#include <memory>
#include <string>

#include "gguf/gguf.h"
#include "hessian/parameters.h"
#include "io/mapped_file.h"

namespace hessian::models {

/// Turns tensors of a GGUF file into parameters. Those of plain types are views of the mapped file, in its precision.
/// Quantised ones have float32 values that are computed from their blocks: at once, or each time they are fetched, so
/// that only the blocks remain in the file and none of their pages in memory.
class GgufParameters {
 public:
  /// \param deferred  whether what has to be computed is so when it is fetched
  GgufParameters(std::shared_ptr<const MappedFile> file, bool deferred) : file_(std::move(file)), deferred_(deferred) {}

  /// Converts values to those of a weight: returns a new tensor of the same shape and precision.
  using Form = std::function<at::Tensor(const at::Tensor&)>;

  /// Adds a tensor under a name.
  /// \param form  what becomes of its values; empty if nothing. Then tensors of plain types are deferred, too
  /// \throws std::runtime_error  if its format is not supported, or it holds integers
  void add(const std::string& name, const GgufTensor& tensor, Form form = {});

  Parameters take() { return std::move(parameters_); }

 private:
  class Source;

  void add_view(const std::string& name, at::Tensor view, Form form);
  Source& source();

  std::shared_ptr<const MappedFile> file_;
  bool deferred_;
  Parameters parameters_;
  std::shared_ptr<Source> source_;
};

}  // namespace hessian::models
