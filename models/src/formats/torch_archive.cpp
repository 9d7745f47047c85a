#include "formats/torch_archive.h"

#include <optional>
#include <set>
#include <string_view>
#include <utility>

#include "formats/torch_values.h"
#include "io/byte_reader.h"
#include "io/messages.h"

namespace hessian::models {
namespace {

using NodeId = Pickle::NodeId;
using Kind = Pickle::Kind;

// Functions with which PyTorch rebuilds a tensor. The last part of each name is that of the function.
constexpr std::string_view rebuild_tensor = "torch._utils _rebuild_tensor";        // (storage, offset, size, strides)
constexpr std::string_view rebuild_tensor_v2 = "torch._utils _rebuild_tensor_v2";  // (..., gradient, hooks, metadata)
constexpr std::string_view rebuild_tensor_v3 = "torch._utils _rebuild_tensor_v3";  // (..., dtype, metadata)
// (tensor, requires_grad, hooks), and a dict of the parameter's Python attributes.
constexpr std::string_view rebuild_parameter = "torch._utils _rebuild_parameter";
constexpr std::string_view rebuild_parameter_with_state = "torch._utils _rebuild_parameter_with_state";
// (function, class, arguments, state) of a subclass, or of a tensor that has Python attributes.
constexpr std::string_view rebuild_from_type = "torch._tensor _rebuild_from_type";
constexpr std::string_view rebuild_from_type_v2 = "torch._tensor _rebuild_from_type_v2";

/// A call that rebuilds a tensor.
struct Rebuild {
  std::string_view function;
  std::span<const NodeId> arguments;
};

std::optional<Rebuild> as_call(const Pickle& pickle, NodeId id) {
  const auto& node = pickle[id];
  if (node.kind != Kind::call || pickle[node.items[0]].kind != Kind::global) {
    return std::nullopt;
  }
  return Rebuild{pickle[node.items[0]].text, pickle.arguments(id)};
}

/// Returns the call that rebuilds the tensor itself, without the calls that make it a parameter or an object of a
/// subclass, and that restore its Python attributes: none of them changes its elements.
std::optional<Rebuild> innermost_rebuild(const Pickle& pickle, NodeId id) {
  constexpr int max_wrappers = 8;  // of a parameter of a subclass there are two
  auto call = as_call(pickle, id);
  for (int i = 0; i < max_wrappers && call; ++i) {
    const auto arguments = call->arguments;
    if (call->function == rebuild_parameter || call->function == rebuild_parameter_with_state) {
      call = arguments.empty() ? std::nullopt : as_call(pickle, arguments[0]);
    } else if (call->function == rebuild_from_type || call->function == rebuild_from_type_v2) {
      if (arguments.size() < 3 || pickle[arguments[0]].kind != Kind::global ||
          pickle[arguments[2]].kind != Kind::tuple) {
        return std::nullopt;
      }
      call = Rebuild{pickle[arguments[0]].text, pickle[arguments[2]].items};
    } else {
      return call;
    }
  }
  return std::nullopt;
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
  const auto elements = as_size(pickle, tuple.items[4]);
  const auto& storage_class = pickle[tuple.items[1]];
  if (storage_class.kind != Kind::global || !elements) {
    return std::nullopt;
  }
  // An untyped storage counts bytes.
  const bool untyped =
      storage_class.text == "torch UntypedStorage" || storage_class.text == "torch.storage UntypedStorage";
  const auto type = untyped ? StoredType::u8 : type_of_storage_class(storage_class.text);
  if (!type) {
    return std::nullopt;
  }
  return StorageReference{*type, pickle[tuple.items[2]].text, static_cast<std::uint64_t>(*elements)};
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

/// Limits a broadcast tensor (stride 0), whose size the file's size does not limit: a copy of it is complete.
constexpr std::uint64_t max_broadcast_elements = std::uint64_t{1} << 26U;

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
  const auto call = as_call(pickle_, id);
  return call && call->function.starts_with("torch.") && call->function.find(" _rebuild_") != std::string_view::npos;
}

ArchivedTensor TorchArchive::tensor(NodeId id, const std::string& name) const {
  const std::string what = "tensor " + name_text(name);
  if (!is_tensor(id)) {
    fail(source_, "{} is {}, expected a tensor", what, describe(pickle_, id));
  }
  const auto rebuild = innermost_rebuild(pickle_, id);
  const bool v3 = rebuild && rebuild->function == rebuild_tensor_v3;
  if (!rebuild || (!v3 && rebuild->function != rebuild_tensor && rebuild->function != rebuild_tensor_v2)) {
    fail(source_, "{} is {}, which is not read here; plain dense tensors are", what,
         rebuild ? "a call of " + name_text(rebuild->function) : describe(pickle_, id));
  }
  const auto arguments = rebuild->arguments;
  const std::size_t metadata = v3 ? 7 : 6;
  if (arguments.size() < (v3 ? 7U : 4U)) {
    fail(source_, "{} has too few arguments", what);
  }
  if (arguments.size() > metadata && !pickle_[arguments[metadata]].entries.empty()) {
    fail(source_, "{} is stored conjugated or negated, which is not read here; save a copy of it", what);
  }
  auto storage = as_storage(pickle_, arguments[0]);
  if (!storage) {
    fail(source_, "{} has a storage that is not read here; float, half, bfloat16 and integer storages are", what);
  }
  if (v3) {
    const auto type = type_of_dtype(pickle_[arguments[6]].text);
    if (!type) {
      fail(source_, "{} has the type {}, which is not read here; float, half, bfloat16 and integer types are", what,
           describe(pickle_, arguments[6]));
    }
    // An untyped storage counts bytes; another one must have the tensor's own type.
    if (storage->type != *type) {
      storage->elements = storage->type == StoredType::u8 ? storage->elements / size_bytes(*type) : 0;
    }
    storage->type = *type;
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
  if (!elements || !end || *end > storage->elements) {
    fail(source_, "{} is {} with strides {} from element {} on, which is more than its storage of {} elements", what,
         shape_text(*shape), shape_text(*strides), *offset, storage->elements);
  }
  if (*elements > storage->elements && *elements > max_broadcast_elements) {
    fail(source_, "{} repeats its {} stored elements to {}, more than the {} that are read here", what,
         storage->elements, shape_text(*shape), max_broadcast_elements);
  }
  ArchivedTensor result;
  result.type = storage->type;
  result.shape = *shape;
  result.strides = *strides;
  result.storage_begin = entry->second.offset;
  result.begin = entry->second.offset + static_cast<std::uint64_t>(*offset) * size_bytes(storage->type);
  return result;
}

std::vector<std::pair<std::string, ArchivedTensor>> TorchArchive::state_dict(NodeId id) const {
  if (!pickle_.is_dict(id)) {
    fail(source_, "the state dict is {}, expected a dict", describe(pickle_, id));
  }
  std::vector<std::pair<std::string, ArchivedTensor>> tensors;
  std::set<std::string_view> names;
  const auto& entries = pickle_[id].entries;
  for (std::size_t i = 0; i + 1 < entries.size(); i += 2) {
    const auto& key = pickle_[entries[i]];
    if (key.kind != Kind::string) {
      fail(source_, "a key of the state dict is {}, expected a string", describe(pickle_, entries[i]));
    }
    if (!is_tensor(entries[i + 1])) {
      continue;
    }
    if (!names.insert(key.text).second) {
      fail(source_, "tensor {} is given twice", name_text(key.text));
    }
    tensors.emplace_back(key.text, tensor(entries[i + 1], key.text));
  }
  return tensors;
}

}  // namespace hessian::models
