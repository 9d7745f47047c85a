#pragma once

#include <memory>
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

  const TorchArchive& archive() const { return archive_; }
  const Pickle& values() const { return archive_.values(); }

  /// Returns one tensor, without a copy if its memory is aligned. Strides are kept.
  at::Tensor tensor(Pickle::NodeId id, const std::string& name) const;

  /// Returns all tensors of a state dict and skips its other entries. Two names of one storage share memory.
  /// \throws std::runtime_error  if the node is not a dict, a key is not a string, or a name occurs twice
  Parameters state_dict(Pickle::NodeId id) const;

 private:
  explicit TorchCheckpoint(std::shared_ptr<const MappedFile> file);

  std::shared_ptr<const MappedFile> file_;
  TorchArchive archive_;
};

}  // namespace hessian::models
