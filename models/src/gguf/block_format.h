#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>

#include "io/stored_type.h"

namespace hessian::models {

/// How ggml stores the entries of a tensor: in blocks of a fixed number of values that share a scale. Plain types are
/// blocks of one value.
struct BlockFormat {
  std::uint32_t number = 0;         ///< in GGUF files
  const char* name = "";            ///< as in ggml: "Q4_K"
  unsigned values = 1;              ///< per block
  unsigned bytes = 0;               ///< per block
  std::optional<StoredType> plain;  ///< the type of plain values
  /// Computes the values of consecutive blocks; null for plain types, and for formats that are not supported.
  void (*decode)(const std::byte* blocks, std::size_t count, float* values) = nullptr;

  bool is_supported() const { return plain || decode != nullptr; }
};

/// Returns the format with a number, or nullptr if ggml has none.
const BlockFormat* find_block_format(std::uint32_t number);

/// Returns the names of the supported formats: "F32, F16, Q4_0, ...".
std::string supported_block_formats();

/// Computes the values of consecutive blocks in float32. Each is rounded once at most: products of a scale and a
/// quantised number have fewer than 24 bits.
/// Precondition: the format has `decode`, and `values` as many entries as the blocks.
/// Source: the formats of blocks in ggml-org/ggml, src/ggml-common.h, and their values in src/ggml-quants.c.
inline void dequantise(const BlockFormat& format, std::span<const std::byte> blocks, std::span<float> values) {
  format.decode(blocks.data(), blocks.size() / format.bytes, values.data());
}

}  // namespace hessian::models
