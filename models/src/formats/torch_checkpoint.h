#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "formats/torch_archive.h"
#include "hessian/parameters.h"
#include "io/mapped_file.h"

namespace hessian::models {

/// A mapped file of torch.save: plain values, and tensors that are views of the mapped memory.
class TorchCheckpoint {
 public:
  /// \throws std::runtime_error  one line, beginning with the path
  static TorchCheckpoint open(const std::string& path);
  explicit TorchCheckpoint(std::shared_ptr<const MappedFile> file);

  const std::shared_ptr<const MappedFile>& file() const { return file_; }
  const TorchArchive& archive() const { return archive_; }
  const Pickle& values() const { return archive_.values(); }

  /// Returns one tensor, without a copy if its memory is aligned. Strides are kept.
  at::Tensor tensor(Pickle::NodeId id, const std::string& name) const;

  /// Returns all tensors of a state dict and skips its other entries. Two names of one storage share memory.
  /// \throws std::runtime_error  if the node is not a dict, a key is not a string, or a name occurs twice
  Parameters state_dict(Pickle::NodeId id) const;

  // Read a number: Python's, numpy's, or a tensor of one element. integer() takes real numbers without a fraction too,
  // and real() integers. Nothing for other values.
  std::optional<std::int64_t> integer(Pickle::NodeId id) const;
  std::optional<double> real(Pickle::NodeId id) const;
  std::optional<bool> boolean(Pickle::NodeId id) const;

 private:
  std::optional<at::Scalar> single_element(Pickle::NodeId id) const;

  std::shared_ptr<const MappedFile> file_;
  TorchArchive archive_;
};

}  // namespace hessian::models
