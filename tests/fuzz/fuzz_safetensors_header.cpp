#include <cstddef>
#include <cstdint>
#include <span>
#include <stdexcept>

#include "formats/safetensors_header.h"

/// Parses the header of a safetensors file: any bytes are read or refused with a std::runtime_error, and every tensor
/// that is read lies inside the file.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  try {
    const auto header = hessian::models::parse_safetensors_header(std::as_bytes(std::span(data, size)), "input");
    for (const auto& entry : header.tensors) {
      if (entry.begin > entry.end || entry.end > size ||
          hessian::models::byte_count(entry.shape, entry.type) != entry.end - entry.begin) {
        __builtin_trap();
      }
    }
  } catch (const std::runtime_error&) {
    return 0;
  }
  return 0;
}
