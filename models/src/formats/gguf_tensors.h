#pragma once

#include <memory>
#include <string>

#include "gguf/gguf.h"
#include "hessian/parameters.h"
#include "io/mapped_file.h"

namespace hessian::models {

/// Turns tensors of a GGUF file into parameters. Those of plain types are views of the mapped file, in its precision.
/// Quantised ones have float32 values that are computed from their blocks: at once, or each time they are fetched, so that
/// only the blocks remain in the file and none of their pages in memory.
class GgufParameters {
 public:
  /// \param deferred  whether quantised tensors are computed when they are fetched
  GgufParameters(std::shared_ptr<const MappedFile> file, bool deferred) : file_(std::move(file)), deferred_(deferred) {}

  /// Adds a tensor under a name.
  /// \throws std::runtime_error  if its format is not supported, or it holds integers
  void add(const std::string& name, const GgufTensor& tensor);

  Parameters take() { return std::move(parameters_); }

 private:
  class Source;

  std::shared_ptr<const MappedFile> file_;
  bool deferred_;
  Parameters parameters_;
  std::shared_ptr<Source> source_;
};

}  // namespace hessian::models
