#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "formats/torch_checkpoint.h"

namespace hessian::models {

/// Returns an entry of the dict that a checkpoint of nanoGPT or llama2.c is.
/// \param kind  description of such a checkpoint, for messages
/// \throws std::runtime_error  if the checkpoint is no dict or has no such entry
Pickle::NodeId root_entry(const TorchCheckpoint& checkpoint, const char* key, const std::string& path,
                          const char* kind);

/// Returns `iter_num`, the number of training steps; 0 if it is absent.
/// \throws std::runtime_error  unless it is a non-negative integer
std::int64_t read_training_step(const TorchCheckpoint& checkpoint, const std::string& path);

/// The entry `model_args` of a checkpoint of nanoGPT or llama2.c: named numbers. They may be Python's, numpy's, or
/// tensors of one element. None stands for an absent argument.
class ModelArguments {
 public:
  /// \throws std::runtime_error  if the node is no dict
  ModelArguments(const TorchCheckpoint& checkpoint, Pickle::NodeId dict, const std::string& path);

  bool has(const char* key) const { return find(key).has_value(); }

  /// Returns a size from 1 to 2^31 - 1, so that products of two sizes cannot overflow.
  /// \throws std::runtime_error  naming the argument and its value
  std::int64_t size(const char* key) const;
  std::int64_t size(const char* key, std::int64_t fallback) const { return has(key) ? size(key) : fallback; }
  double real(const char* key, double fallback) const;
  bool boolean(const char* key, bool fallback) const;

 private:
  std::optional<Pickle::NodeId> find(const char* key) const;

  const TorchCheckpoint& checkpoint_;
  Pickle::NodeId dict_;
  const std::string& path_;
};

}  // namespace hessian::models
