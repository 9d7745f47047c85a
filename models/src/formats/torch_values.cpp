#include "formats/torch_values.h"

#include <algorithm>
#include <array>

namespace hessian::models {
namespace {

using NodeId = Pickle::NodeId;
using Kind = Pickle::Kind;

struct TypeRow {
  std::string_view storage_class;
  std::string_view dtype;
  StoredType type;
};

constexpr std::array<TypeRow, 11> type_table = {{
    {"torch DoubleStorage", "torch float64", StoredType::f64},
    {"torch FloatStorage", "torch float32", StoredType::f32},
    {"torch HalfStorage", "torch float16", StoredType::f16},
    {"torch BFloat16Storage", "torch bfloat16", StoredType::bf16},
    {"torch LongStorage", "torch int64", StoredType::i64},
    {"torch IntStorage", "torch int32", StoredType::i32},
    {"torch ShortStorage", "torch int16", StoredType::i16},
    {"torch CharStorage", "torch int8", StoredType::i8},
    {"torch ByteStorage", "torch uint8", StoredType::u8},
    {"torch BoolStorage", "torch bool", StoredType::boolean},
    {"torch ComplexFloatStorage", "torch complex64", StoredType::c64},
}};

std::optional<StoredType> find_type(std::string_view global, std::string_view TypeRow::*column) {
  const auto* const row = std::ranges::find(type_table, global, column);
  return row != type_table.end() ? std::optional(row->type) : std::nullopt;
}

}  // namespace

std::optional<StoredType> type_of_storage_class(std::string_view global) {
  return find_type(global, &TypeRow::storage_class);
}

std::optional<StoredType> type_of_dtype(std::string_view global) {
  return find_type(global, &TypeRow::dtype);
}

std::optional<std::int64_t> as_size(const Pickle& pickle, NodeId id) {
  const auto& node = pickle[id];
  return node.kind == Kind::integer && node.integer >= 0 ? std::optional(node.integer) : std::nullopt;
}

std::optional<std::vector<std::int64_t>> as_sizes(const Pickle& pickle, NodeId id) {
  if (pickle.is_call_of(id, "torch Size") && pickle.arguments(id).size() == 1) {
    id = pickle.arguments(id)[0];
  }
  if (pickle[id].kind != Kind::tuple) {
    return std::nullopt;
  }
  std::vector<std::int64_t> sizes;
  for (const NodeId item : pickle[id].items) {
    const auto size = as_size(pickle, item);
    if (!size) {
      return std::nullopt;
    }
    sizes.push_back(*size);
  }
  return sizes;
}

}  // namespace hessian::models
