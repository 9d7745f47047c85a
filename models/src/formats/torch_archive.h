#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "formats/zip_archive.h"
#include "io/stored_type.h"
#include "pickle/pickle.h"

namespace hessian::models {

/// Position of a tensor in a file of torch.save. Tensors of equal `storage_begin` share memory.
struct ArchivedTensor {
  StoredType type = StoredType::f32;
  std::vector<std::int64_t> shape;
  std::vector<std::int64_t> strides;  ///< in elements
  std::uint64_t begin = 0;            ///< offset of the first element in the file, in bytes
  std::uint64_t storage_begin = 0;    ///< offset of its storage in the file, in bytes
};

/// A file of torch.save (the zip form of PyTorch 1.6 and later) as plain values and tensor positions. Executes nothing.
class TorchArchive {
 public:
  /// \param file    all bytes of the file; only positions in it are kept
  /// \param source  the file's name, for the messages
  /// \throws std::runtime_error  one line; for the older form without a zip, it says how to convert the file
  TorchArchive(std::span<const std::byte> file, std::string source);

  const Pickle& values() const { return pickle_; }
  const std::string& source() const { return source_; }

  /// Returns whether the node is a tensor or a parameter, possibly one that tensor() cannot read.
  bool is_tensor(Pickle::NodeId id) const;

  /// Reads a tensor's node, and checks that every element lies inside its storage, and the storage inside the file.
  /// Parameters, subclasses and tensors with Python attributes are read as the tensors that they contain. A broadcast
  /// tensor keeps its strides of 0, and has at most 2^26 elements.
  /// \param name  of the tensor, for messages
  /// \throws std::runtime_error  "ckpt.pt: tensor 'x' ..."
  ArchivedTensor tensor(Pickle::NodeId id, const std::string& name) const;

  /// Returns all tensors of a state dict in their order, and skips its other entries.
  /// \throws std::runtime_error  if the node is not a dict, a key is not a string, or a name occurs twice
  std::vector<std::pair<std::string, ArchivedTensor>> state_dict(Pickle::NodeId id) const;

 private:
  std::string source_;
  std::map<std::string, ZipEntry> entries_;
  std::string prefix_;  ///< folder inside the archive, with its slash
  Pickle pickle_;
};

}  // namespace hessian::models
