#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

namespace hessian::models {

/// The element types of the supported file formats.
enum class StoredType { f64, f32, f16, bf16, i64, i32, i16, i8, u8, boolean, c64 };

/// Returns the size of one element in bytes.
std::size_t size_bytes(StoredType type);

/// Returns the name that safetensors uses: "F64", "BF16", "BOOL", ...
const char* to_string(StoredType type);

/// Parses a result of to_string(); returns nothing for any other word.
std::optional<StoredType> parse_stored_type(std::string_view word);

/// Returns the number of elements of a tensor of this shape; 1 for a scalar.
/// \return  nothing if a size is negative, or the product of the sizes other than 0 overflows int64
std::optional<std::uint64_t> element_count(std::span<const std::int64_t> shape);

/// Returns the size of a tensor in bytes.
/// \return  nothing on overflow
std::optional<std::uint64_t> byte_count(std::span<const std::int64_t> shape, StoredType type);

}  // namespace hessian::models
