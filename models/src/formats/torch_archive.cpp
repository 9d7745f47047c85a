#include "formats/torch_archive.h"

#include <algorithm>
#include <array>
#include <optional>
#include <utility>

#include "io/byte_reader.h"
#include "io/messages.h"

namespace hessian::models {
namespace {

using NodeId = Pickle::NodeId;
using Kind = Pickle::Kind;

struct StorageRow {
  const char* global;
  StoredType type;
};

constexpr std::array<StorageRow, 11> storage_table = {{
    {"torch DoubleStorage", StoredType::f64},
    {"torch FloatStorage", StoredType::f32},
    {"torch HalfStorage", StoredType::f16},
    {"torch BFloat16Storage", StoredType::bf16},
    {"torch LongStorage", StoredType::i64},
    {"torch IntStorage", StoredType::i32},
    {"torch ShortStorage", StoredType::i16},
    {"torch CharStorage", StoredType::i8},
    {"torch ByteStorage", StoredType::u8},
    {"torch BoolStorage", StoredType::boolean},
    {"torch ComplexFloatStorage", StoredType::c64},
}};

constexpr const char* rebuild_tensor = "torch._utils _rebuild_tensor_v2";
constexpr const char* rebuild_parameter = "torch._utils _rebuild_parameter";

/// Reads a non-negative integer of the pickle.
std::optional<std::int64_t> as_size(const Pickle& pickle, NodeId id) {
  const auto& node = pickle[id];
  return node.kind == Kind::integer && node.integer >= 0 ? std::optional(node.integer) : std::nullopt;
}

std::optional<std::vector<std::int64_t>> as_sizes(const Pickle& pickle, NodeId id) {
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

/// The contents of a persistent id of torch.save: ('storage', type, key, device, number of elements).
struct StorageReference {
  StoredType type;
  std::string key;
  std::uint64_t elements;
};

std::optional<StorageReference> as_storage(const Pickle& pickle, NodeId id) {
  if (pickle[id].kind != Kind::persistent) {
    return std::nullopt;
  }
  const auto& tuple = pickle[pickle[id].items[0]];
  if (tuple.kind != Kind::tuple || tuple.items.size() < 5 || pickle[tuple.items[2]].kind != Kind::string) {
    return std::nullopt;
  }
  const auto row = std::ranges::find_if(
      storage_table, [&](const auto& known) { return pickle.is_global(tuple.items[1], known.global); });
  const auto elements = as_size(pickle, tuple.items[4]);
  if (row == storage_table.end() || !elements) {
    return std::nullopt;
  }
  return StorageReference{row->type, pickle[tuple.items[2]].text, static_cast<std::uint64_t>(*elements)};
}

/// Returns one past the highest element that a strided tensor touches; nothing on overflow.
std::optional<std::uint64_t> extent(std::uint64_t offset, std::span<const std::int64_t> shape,
                                    std::span<const std::int64_t> strides) {
  std::uint64_t last = offset;
  for (std::size_t axis = 0; axis < shape.size(); ++axis) {
    if (shape[axis] == 0) {
      return offset;
    }
    std::uint64_t step = 0;
    if (__builtin_mul_overflow(static_cast<std::uint64_t>(shape[axis] - 1), static_cast<std::uint64_t>(strides[axis]),
                               &step) ||
        __builtin_add_overflow(last, step, &last)) {
      return std::nullopt;
    }
  }
  return __builtin_add_overflow(last, std::uint64_t{1}, &last) ? std::nullopt : std::optional(last);
}

std::string find_prefix(const std::map<std::string, ZipEntry>& entries, const std::string& source) {
  constexpr std::string_view pickle_name = "/data.pkl";
  for (const auto& [name, entry] : entries) {
    if (name.ends_with(pickle_name) && name.find('/') == name.size() - pickle_name.size()) {
      return name.substr(0, name.size() - pickle_name.size() + 1);
    }
  }
  fail(source, "is a zip archive without data.pkl, so it is not from torch.save");
}

std::span<const std::byte> bytes_of(std::span<const std::byte> file, const ZipEntry& entry) {
  return file.subspan(static_cast<std::size_t>(entry.offset), static_cast<std::size_t>(entry.size));
}

std::map<std::string, ZipEntry> read_entries(std::span<const std::byte> file, const std::string& source) {
  constexpr std::byte pickle_start{0x80};
  if (!looks_like_zip(file)) {
    if (!file.empty() && file[0] == pickle_start) {
      fail(source,
           "is in the form of torch.save that PyTorch used before 1.6; save it anew with torch.save(torch.load(path), "
           "path)");
    }
    fail(source, "is not a file of torch.save");
  }
  return read_zip_directory(file, source);
}

}  // namespace

TorchArchive::TorchArchive(std::span<const std::byte> file, std::string source)
    : source_(std::move(source)), entries_(read_entries(file, source_)), prefix_(find_prefix(entries_, source_)) {
  const auto order = entries_.find(prefix_ + "byteorder");
  if (order != entries_.end() && as_text(bytes_of(file, order->second)) != "little") {
    fail(source_, "has byte order {}, expected 'little'", name_text(as_text(bytes_of(file, order->second))));
  }
  pickle_ = Pickle::parse(bytes_of(file, entries_.at(prefix_ + "data.pkl")), source_);
}

bool TorchArchive::is_tensor(NodeId id) const {
  return pickle_.is_call_of(id, rebuild_tensor) || pickle_.is_call_of(id, rebuild_parameter);
}

ArchivedTensor TorchArchive::tensor(NodeId id, const std::string& name) const {
  const std::string what = "tensor " + name_text(name);
  if (pickle_.is_call_of(id, rebuild_parameter) && !pickle_.arguments(id).empty()) {
    id = pickle_.arguments(id)[0];
  }
  const auto arguments = pickle_.arguments(id);
  if (!pickle_.is_call_of(id, rebuild_tensor) || arguments.size() < 4) {
    fail(source_, "{} is {}, expected a tensor", what, describe(pickle_, id));
  }
  const auto storage = as_storage(pickle_, arguments[0]);
  if (!storage) {
    fail(source_, "{} has a storage that is not read here; float, half, bfloat16 and integer storages are", what);
  }
  const auto offset = as_size(pickle_, arguments[1]);
  const auto shape = as_sizes(pickle_, arguments[2]);
  const auto strides = as_sizes(pickle_, arguments[3]);
  if (!offset || !shape || !strides || shape->size() != strides->size()) {
    fail(source_, "{} has a damaged offset, shape or strides", what);
  }
  const auto entry = entries_.find(prefix_ + "data/" + storage->key);
  if (entry == entries_.end()) {
    fail(source_, "{} needs the storage {}, which is absent", what, name_text(storage->key));
  }
  // Divides rather than multiplies, because a number of elements from the file could overflow.
  if (storage->elements > entry->second.size / size_bytes(storage->type)) {
    fail(source_, "{} needs {} elements of storage {}, which has {} bytes", what, storage->elements,
         name_text(storage->key), entry->second.size);
  }
  const auto elements = element_count(*shape);
  const auto end = extent(static_cast<std::uint64_t>(*offset), *shape, *strides);
  if (!elements || *elements > storage->elements || !end || *end > storage->elements) {
    fail(source_, "{} is {} with strides {} from element {} on, which is more than its storage of {} elements", what,
         shape_text(*shape), shape_text(*strides), *offset, storage->elements);
  }
  ArchivedTensor result;
  result.type = storage->type;
  result.shape = *shape;
  result.strides = *strides;
  result.storage_begin = entry->second.offset;
  result.begin = entry->second.offset + static_cast<std::uint64_t>(*offset) * size_bytes(storage->type);
  return result;
}

}  // namespace hessian::models
