#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "io/stored_type.h"

namespace hessian::models {

/// A box of a tensor, and where it is: a file of torch.save that lies inside another file.
struct DistributedChunk {
  std::vector<std::int64_t> offsets;  ///< of the box in the tensor
  std::vector<std::int64_t> shape;
  std::string file;  ///< name of a file in the checkpoint's folder; empty if `.metadata` does not say
  std::uint64_t begin = 0;
  std::uint64_t size = 0;  ///< in bytes
};

struct DistributedTensor {
  std::string name;
  std::string dtype;               ///< as in the file: "torch float32"
  std::optional<StoredType> type;  ///< nothing for a type that is not read here
  std::vector<std::int64_t> shape;
  std::vector<DistributedChunk> chunks;
};

/// Reads `.metadata` of a checkpoint of torch.distributed.checkpoint, given all of its bytes: a pickle of Metadata with
/// `state_dict_metadata`, the shapes and chunks of tensors, and `storage_data`, where each chunk is. Entries that are no
/// tensors are skipped. Executes nothing.
/// \param source  the file's name, for messages
/// \return        the tensors in the order of the file; whether chunks fill their tensor is not checked
/// \throws std::runtime_error  one line
/// Source: PyTorch, torch/distributed/checkpoint/metadata.py and filesystem.py.
std::vector<DistributedTensor> parse_distributed_metadata(std::span<const std::byte> bytes, const std::string& source);

}  // namespace hessian::models
