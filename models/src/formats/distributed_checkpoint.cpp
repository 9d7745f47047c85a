#include "formats/distributed_checkpoint.h"

#include <map>
#include <string_view>
#include <utility>

#include "formats/torch_values.h"
#include "io/messages.h"
#include "pickle/pickle.h"

namespace hessian::models {
namespace {

using NodeId = Pickle::NodeId;
using Kind = Pickle::Kind;

/// Returns the name of an object's class, without its module, which differs between versions of PyTorch.
std::string_view class_of(const Pickle& pickle, NodeId id) {
  const auto& node = pickle[id];
  if (node.kind != Kind::call || pickle[node.items[0]].kind != Kind::global) {
    return {};
  }
  const std::string_view global = pickle[node.items[0]].text;
  return global.substr(global.find(' ') + 1);
}

/// Returns a field of a data class: an object whose state is a dict.
std::optional<NodeId> field(const Pickle& pickle, NodeId object, const char* name) {
  const auto& node = pickle[object];
  return node.kind == Kind::call && node.items.size() > 2 ? pickle.find(node.items[2], name) : std::nullopt;
}

struct Place {
  std::string file;
  std::uint64_t begin = 0;
  std::uint64_t size = 0;
};

/// Name of a tensor and offsets of a chunk.
using ChunkKey = std::pair<std::string, std::vector<std::int64_t>>;

class MetadataReader {
 public:
  MetadataReader(std::span<const std::byte> bytes, const std::string& source)
      : source_(source), pickle_(Pickle::parse(bytes, source)) {}

  std::vector<DistributedTensor> read() {
    const NodeId tensors = dict_of_root("state_dict_metadata");
    read_places(dict_of_root("storage_data"));
    std::vector<DistributedTensor> result;
    const auto& entries = pickle_[tensors].entries;
    for (std::size_t i = 0; i + 1 < entries.size(); i += 2) {
      if (pickle_[entries[i]].kind == Kind::string && class_of(pickle_, entries[i + 1]) == "TensorStorageMetadata") {
        result.push_back(read_tensor(pickle_[entries[i]].text, entries[i + 1]));
      }
    }
    return result;
  }

 private:
  NodeId dict_of_root(const char* name) const {
    const auto id = field(pickle_, pickle_.root(), name);
    if (!id || !pickle_.is_dict(*id)) {
      fail(source_, "has no dict '{}', so it is not the .metadata of torch.distributed.checkpoint", name);
    }
    return *id;
  }

  std::vector<std::int64_t> sizes(NodeId object, const char* name, const std::string& what) const {
    const auto id = field(pickle_, object, name);
    const auto values = id ? as_sizes(pickle_, *id) : std::nullopt;
    if (!values) {
      fail(source_, "{} has damaged '{}', expected a torch.Size", what, name);
    }
    return *values;
  }

  /// Reads where chunks are. Entries that are no tensors have no offset.
  void read_places(NodeId dict) {
    const auto& entries = pickle_[dict].entries;
    for (std::size_t i = 0; i + 1 < entries.size(); i += 2) {
      const auto name = field(pickle_, entries[i], "fqn");
      const auto offset = field(pickle_, entries[i], "offset");
      const auto offsets = offset ? as_sizes(pickle_, *offset) : std::nullopt;
      if (!name || pickle_[*name].kind != Kind::string || !offsets) {
        continue;
      }
      const std::string& text = pickle_[*name].text;
      if (!places_.emplace(ChunkKey(text, *offsets), read_place(entries[i + 1], text)).second) {
        fail(source_, "tensor {} has the chunk at {} twice", name_text(text), shape_text(*offsets));
      }
    }
  }

  Place read_place(NodeId info, const std::string& name) const {
    const auto path = field(pickle_, info, "relative_path");
    const auto begin = field(pickle_, info, "offset");
    const auto size = field(pickle_, info, "length");
    const auto begin_bytes = begin ? as_size(pickle_, *begin) : std::nullopt;
    const auto size_bytes = size ? as_size(pickle_, *size) : std::nullopt;
    if (!path || pickle_[*path].kind != Kind::string || !begin_bytes || !size_bytes) {
      fail(source_, "tensor {} has a damaged place, expected a file, an offset and a length", name_text(name));
    }
    const std::string& file = pickle_[*path].text;
    // A name with a folder could refer to any file of the machine.
    if (file.empty() || file.find_first_of("/\\") != std::string::npos || file.starts_with('.') ||
        file.find('\0') != std::string::npos) {
      fail(source_, "tensor {} is in the file {}, expected the name of a file in the same folder", name_text(name),
           name_text(file));
    }
    const auto transforms = field(pickle_, info, "transform_descriptors");
    if (transforms && pickle_[*transforms].kind != Kind::none && !pickle_[*transforms].items.empty()) {
      fail(source_, "tensor {} is stored compressed or transformed, which is not read here", name_text(name));
    }
    return {file, static_cast<std::uint64_t>(*begin_bytes), static_cast<std::uint64_t>(*size_bytes)};
  }

  /// Returns the dtype in a tensor's properties, whose state is a tuple that begins with it, or a dict.
  std::string read_dtype(NodeId tensor) const {
    const auto properties = field(pickle_, tensor, "properties");
    if (!properties || pickle_[*properties].kind != Kind::call || pickle_[*properties].items.size() < 3) {
      return "";
    }
    const auto& state = pickle_[pickle_[*properties].items[2]];
    auto dtype = field(pickle_, *properties, "dtype");
    if (state.kind == Kind::tuple && !state.items.empty()) {
      dtype = state.items[0];
    }
    return dtype && pickle_[*dtype].kind == Kind::global ? pickle_[*dtype].text : "";
  }

  DistributedTensor read_tensor(const std::string& name, NodeId id) const {
    const std::string what = "tensor " + name_text(name);
    DistributedTensor tensor;
    tensor.name = name;
    tensor.dtype = read_dtype(id);
    tensor.type = type_of_dtype(tensor.dtype);
    tensor.shape = sizes(id, "size", what);
    const auto chunks = field(pickle_, id, "chunks");
    if (!chunks || pickle_[*chunks].kind != Kind::list) {
      fail(source_, "{} has no list of chunks", what);
    }
    for (const NodeId item : pickle_[*chunks].items) {
      DistributedChunk chunk;
      chunk.offsets = sizes(item, "offsets", "a chunk of " + what);
      chunk.shape = sizes(item, "sizes", "a chunk of " + what);
      if (const auto place = places_.find(ChunkKey(name, chunk.offsets)); place != places_.end()) {
        chunk.file = place->second.file;
        chunk.begin = place->second.begin;
        chunk.size = place->second.size;
      }
      tensor.chunks.push_back(std::move(chunk));
    }
    return tensor;
  }

  const std::string& source_;
  Pickle pickle_;
  std::map<ChunkKey, Place> places_;
};

}  // namespace

std::vector<DistributedTensor> parse_distributed_metadata(std::span<const std::byte> bytes, const std::string& source) {
  return MetadataReader(bytes, source).read();
}

}  // namespace hessian::models
