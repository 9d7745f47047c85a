#include "io/stored_type.h"

#include <array>

namespace hessian::models {
namespace {

struct TypeRow {
  StoredType type;
  const char* word;
  std::size_t size;
};

constexpr std::array<TypeRow, 11> type_table = {{
    {StoredType::f64, "F64", 8},
    {StoredType::f32, "F32", 4},
    {StoredType::f16, "F16", 2},
    {StoredType::bf16, "BF16", 2},
    {StoredType::i64, "I64", 8},
    {StoredType::i32, "I32", 4},
    {StoredType::i16, "I16", 2},
    {StoredType::i8, "I8", 1},
    {StoredType::u8, "U8", 1},
    {StoredType::boolean, "BOOL", 1},
    {StoredType::c64, "C64", 8},
}};

}  // namespace

std::size_t size_bytes(StoredType type) {
  return type_table[static_cast<std::size_t>(type)].size;
}

const char* to_string(StoredType type) {
  return type_table[static_cast<std::size_t>(type)].word;
}

std::optional<StoredType> parse_stored_type(std::string_view word) {
  for (const auto& row : type_table) {
    if (word == row.word) {
      return row.type;
    }
  }
  return std::nullopt;
}

std::optional<std::uint64_t> element_count(std::span<const std::int64_t> shape) {
  std::int64_t count = 1;
  bool empty = false;
  for (const std::int64_t size : shape) {
    // Strides are products of sizes and must not overflow, even if another size is 0.
    if (size < 0 || (size > 0 && __builtin_mul_overflow(count, size, &count))) {
      return std::nullopt;
    }
    empty = empty || size == 0;
  }
  return empty ? 0 : static_cast<std::uint64_t>(count);
}

std::optional<std::uint64_t> byte_count(std::span<const std::int64_t> shape, StoredType type) {
  auto count = element_count(shape);
  if (!count || __builtin_mul_overflow(*count, size_bytes(type), &*count)) {
    return std::nullopt;
  }
  return count;
}

}  // namespace hessian::models
