#include <cstddef>
#include <cstdint>
#include <span>
#include <stdexcept>

#include "formats/distributed_checkpoint.h"

/// Reads the input as `.metadata` of torch.distributed.checkpoint, and checks that every chunk is in a file of the folder.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  try {
    const auto tensors = hessian::models::parse_distributed_metadata(std::as_bytes(std::span(data, size)), "input");
    for (const auto& tensor : tensors) {
      for (const auto& chunk : tensor.chunks) {
        if (chunk.file.find('/') != std::string::npos || chunk.file.starts_with('.')) {
          __builtin_trap();
        }
      }
    }
  } catch (const std::runtime_error&) {
    return 0;
  }
  return 0;
}
