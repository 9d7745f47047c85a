#pragma once

#include <memory>
#include <string>

#include "formats/torch_archive.h"
#include "hessian/models/mapped_file.h"
#include "hessian/parameters.h"

namespace hessian::models {

/// A mapped file of torch.save: plain values, and tensors over the mapped memory.
class TorchCheckpoint {
 public:
  /// \throws std::runtime_error  one line, beginning with the path
  static TorchCheckpoint open(const std::string& path);

  const TorchArchive& archive() const { return archive_; }
  const Pickle& values() const { return archive_.values(); }

  /// One tensor, without a copy where its memory is aligned. Strides are kept.
  at::Tensor tensor(Pickle::NodeId id, const std::string& name) const;

  /// All tensors of a state dict; entries that are no tensors are left out. Two names of one storage share memory.
  /// \throws std::runtime_error  if the node is no dict, a key is no string, or a name comes twice
  hessian::Parameters state_dict(Pickle::NodeId id) const;

 private:
  explicit TorchCheckpoint(std::shared_ptr<const MappedFile> file);

  std::shared_ptr<const MappedFile> file_;
  TorchArchive archive_;
};

}  // namespace hessian::models
