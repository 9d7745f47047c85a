#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "formats/torch_archive.h"
#include "hessian/models/model.h"
#include "hessian/parameters.h"
#include "io/mapped_file.h"

namespace hessian::models {

/// A box of a tensor, stored in a file.
struct StoredPiece {
  std::shared_ptr<const MappedFile> file;
  ArchivedTensor place;               ///< in the file; its shape is that of the box
  std::vector<std::int64_t> offsets;  ///< of the box in the tensor
};

/// A tensor that one or more files hold in pieces, such as the shards of a model-parallel run.
struct StoredTensor {
  std::string full_name;  ///< in the file, for messages
  StoredType type = StoredType::f32;
  std::vector<std::int64_t> shape;
  std::vector<StoredPiece> pieces;
};

/// Makes a tensor of one piece, which is all of it.
StoredTensor whole_tensor(const std::string& full_name, const std::shared_ptr<const MappedFile>& file,
                          const ArchivedTensor& place);

/// Checks that the pieces fill the tensor without gap or overlap.
/// \throws std::runtime_error  "folder: tensor 'x' [64, 60] ..."
void check_pieces(const StoredTensor& tensor, const std::string& source);

/// Reads a tensor: a view of the mapped file if it is in one piece at an address that suits its type, otherwise a new
/// tensor. Precondition: check_pieces().
at::Tensor read(const StoredTensor& tensor);

/// Whether weights may be views of the mapped file, or are copied because the file may be overwritten.
enum class FileUse { viewed, copied };

/// The tensors of a checkpoint that has this project's names, which are those of Meta's Llama code.
class StoredTensors {
 public:
  /// \param source  the checkpoint, for messages
  explicit StoredTensors(std::string source) : source_(std::move(source)) {}

  /// Adds a tensor after check_pieces().
  /// \param key  the name without prefixes
  /// \throws std::runtime_error  also if the key was added before
  void add(const std::string& key, StoredTensor tensor);

  /// Returns a tensor, or nothing.
  const StoredTensor* find(const std::string& key) const;
  /// Returns a tensor.
  /// \throws std::runtime_error  naming the tensor that is absent
  const StoredTensor& at(const std::string& key) const;
  void remove(const std::string& key) { tensors_.erase(key); }

  /// Returns one more than the largest index of a layer; 0 without layers.
  std::int64_t count_layers() const;

  /// Returns whether the output head is the token embedding: it is absent, or holds the same numbers.
  bool head_is_embedding() const;

  /// Takes the weights of `config`, and checks that no other tensor is left. With WeightAccess::deferred, weights that
  /// are copied or in several pieces are read when they are fetched, and only the requested rows of an embedding.
  /// \throws std::runtime_error  naming a tensor that is absent, of another shape, no floating point, or too much
  Model take(const GptConfig& config, WeightAccess access, FileUse use) const;

 private:
  std::string source_;
  std::map<std::string, StoredTensor> tensors_;
};

}  // namespace hessian::models
