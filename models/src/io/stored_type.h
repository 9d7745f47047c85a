#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

namespace hessian::models {

/// The element types that the file formats here can hold.
enum class StoredType { f64, f32, f16, bf16, i64, i32, i16, i8, u8, boolean, c64 };

/// Size of one element in bytes.
std::size_t size_bytes(StoredType type);

/// The word that safetensors uses: "F64", "BF16", "BOOL", ...
const char* to_string(StoredType type);

/// \return  nothing for a word that is not one of to_string's
std::optional<StoredType> parse_stored_type(std::string_view word);

/// Number of elements of a tensor of this shape; 1 for a scalar.
/// \return  nothing if a size is negative, or the product of the sizes other than 0 overflows int64
std::optional<std::uint64_t> element_count(std::span<const std::int64_t> shape);

/// element_count times the element's size.
/// \return  nothing on overflow
std::optional<std::uint64_t> byte_count(std::span<const std::int64_t> shape, StoredType type);

}  // namespace hessian::models
