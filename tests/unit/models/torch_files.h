#pragma once

#include <ATen/ATen.h>

#include <algorithm>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "loader_support.h"

// Writes files of torch.save and of torch.distributed.checkpoint, from the descriptions of pickle and zip: independently
// of the readers. Values are opcodes of pickle protocol 2 without PROTO and STOP.
namespace hessian::support {

inline std::string pickled(const std::string& text) {
  return "X" + little_endian(static_cast<std::uint32_t>(text.size())) + text;
}

inline std::string pickled(std::int64_t number) {
  return "\x8a\x08" + little_endian(number);
}

inline std::string pickled_real(double number) {
  std::string bytes = little_endian(number);
  std::reverse(bytes.begin(), bytes.end());
  return "G" + bytes;
}

inline std::string pickled_tuple(const std::vector<std::string>& items) {
  std::string text = "(";
  for (const auto& item : items) {
    text += item;
  }
  return text + "t";
}

inline std::string pickled_list(const std::vector<std::string>& items) {
  std::string text = "](";
  for (const auto& item : items) {
    text += item;
  }
  return text + "e";
}

inline std::string pickled_sizes(at::IntArrayRef sizes) {
  std::vector<std::string> items;
  for (const std::int64_t size : sizes) {
    items.push_back(pickled(size));
  }
  return pickled_tuple(items);
}

using PickledEntries = std::vector<std::pair<std::string, std::string>>;

/// Returns a dict whose keys are strings.
inline std::string pickled_dict(const PickledEntries& entries) {
  std::string text = "}(";
  for (const auto& [key, value] : entries) {
    text += pickled(key) + value;
  }
  return text + "u";
}

inline std::string pickled_global(const std::string& module, const std::string& name) {
  return "c" + module + "\n" + name + "\n";
}

inline std::string pickled_call(const std::string& module, const std::string& name, const std::string& arguments) {
  return pickled_global(module, name) + arguments + "R";
}

/// Returns an object of a data class: a new one, and its fields as its state.
inline std::string pickled_object(const std::string& module, const std::string& name, const std::string& state) {
  return pickled_global(module, name) + ")\x81" + state + "b";
}

/// Returns a whole pickle.
inline std::string whole_pickle(const std::string& value) {
  return "\x80\x02" + value + ".";
}

/// A file of torch.save.
class TorchFile {
 public:
  /// Adds the storage of a tensor and returns the call that rebuilds the tensor.
  std::string tensor(const at::Tensor& tensor) {
    return pickled_call("torch._utils", "_rebuild_tensor_v2", pickled_tuple(arguments(tensor)));
  }

  /// Adds the storage of a tensor, and returns the arguments of _rebuild_tensor_v2.
  std::vector<std::string> arguments(const at::Tensor& tensor) {
    const at::Tensor whole = tensor.contiguous();
    const std::string key = std::to_string(members_.size());
    members_.push_back(
        {"archive/data/" + key, std::string(static_cast<const char*>(whole.const_data_ptr()), whole.nbytes())});
    const std::string storage =
        pickled_tuple({pickled("storage"), pickled_global("torch", storage_class(tensor.scalar_type())), pickled(key),
                       pickled("cpu"), pickled(tensor.numel())}) +
        "Q";
    return {storage,
            pickled(0),
            pickled_sizes(whole.sizes()),
            pickled_sizes(whole.strides()),
            "\x89",
            pickled_call("collections", "OrderedDict", ")")};
  }

  /// Adds all tensors, and returns them as a dict.
  std::string state_dict(const Tensors& tensors) {
    PickledEntries entries;
    for (const auto& [name, value] : tensors) {
      entries.emplace_back(name, tensor(value));
    }
    return pickled_dict(entries);
  }

  /// Returns the file whose root is this value.
  std::string bytes(const std::string& root) const {
    std::vector<ZipMember> members = {{"archive/data.pkl", whole_pickle(root)}, {"archive/byteorder", "little"}};
    members.insert(members.end(), members_.begin(), members_.end());
    return zip_bytes(members);
  }

 private:
  static std::string storage_class(at::ScalarType type) {
    switch (type) {
      case at::kDouble:
        return "DoubleStorage";
      case at::kHalf:
        return "HalfStorage";
      case at::kBFloat16:
        return "BFloat16Storage";
      case at::kLong:
        return "LongStorage";
      case at::kComplexFloat:
        return "ComplexFloatStorage";
      case at::kByte:
        return "ByteStorage";
      default:
        return "FloatStorage";
    }
  }

  std::vector<ZipMember> members_;
};

/// Returns a file of torch.save that is a dict of tensors.
inline std::string torch_file_of(const Tensors& tensors) {
  TorchFile file;
  const std::string dict = file.state_dict(tensors);
  return file.bytes(dict);
}

/// A chunk to be written by write_distributed().
struct WrittenChunk {
  std::string name;
  std::vector<std::int64_t> shape;    ///< of the whole tensor
  std::vector<std::int64_t> offsets;  ///< of the chunk
  at::Tensor tensor;
  std::string file = "__0_0.distcp";
};

/// Writes a checkpoint of torch.distributed.checkpoint: chunks of a tensor must follow each other.
inline void write_distributed(const TemporaryFolder& folder, const std::vector<WrittenChunk>& chunks,
                              const PickledEntries& place_fields = {}) {
  const std::string module = "torch.distributed.checkpoint.metadata";
  const auto size = [](at::IntArrayRef sizes) {
    return pickled_call("torch", "Size", pickled_tuple({pickled_sizes(sizes)}));
  };
  std::map<std::string, std::string> files;
  PickledEntries tensors = {{"train_state.step", pickled_object(module, "BytesStorageMetadata", "}")}};
  std::string places = "}(";
  for (std::size_t i = 0; i < chunks.size();) {
    const WrittenChunk& first = chunks[i];
    std::vector<std::string> boxes;
    for (; i < chunks.size() && chunks[i].name == first.name; ++i) {
      const WrittenChunk& chunk = chunks[i];
      boxes.push_back(
          pickled_object(module, "ChunkStorageMetadata",
                         pickled_dict({{"offsets", size(chunk.offsets)}, {"sizes", size(chunk.tensor.sizes())}})));
      TorchFile item;
      const std::string root = item.tensor(chunk.tensor);
      const std::string bytes = item.bytes(root);
      PickledEntries fields = {{"relative_path", pickled(chunk.file)},
                               {"offset", pickled(static_cast<std::int64_t>(files[chunk.file].size()))},
                               {"length", pickled(static_cast<std::int64_t>(bytes.size()))}};
      fields.insert(fields.end(), place_fields.begin(), place_fields.end());  // the last one of a name counts
      places += pickled_object(module, "MetadataIndex",
                               pickled_dict({{"fqn", pickled(chunk.name)}, {"offset", size(chunk.offsets)}})) +
                pickled_object("torch.distributed.checkpoint.filesystem", "_StorageInfo", pickled_dict(fields));
      files[chunk.file] += bytes;
    }
    const char* dtype = first.tensor.is_complex()                     ? "complex64"
                        : first.tensor.scalar_type() == at::kLong     ? "int64"
                        : first.tensor.scalar_type() == at::kDouble   ? "float64"
                        : first.tensor.scalar_type() == at::kBFloat16 ? "bfloat16"
                        : first.tensor.scalar_type() == at::kFloat    ? "float32"
                                                                      : "float8_e4m3fn";
    const std::string properties = pickled_object(
        module, "TensorProperties", pickled_tuple({pickled_global("torch", dtype), "N", "\x89", "N", "\x89"}));
    tensors.emplace_back(
        first.name,
        pickled_object(
            module, "TensorStorageMetadata",
            pickled_dict({{"properties", properties}, {"size", size(first.shape)}, {"chunks", pickled_list(boxes)}})));
  }
  for (const auto& [name, contents] : files) {
    folder.write(name, contents);
  }
  folder.write(".metadata", whole_pickle(pickled_object(module, "Metadata",
                                                        pickled_dict({{"state_dict_metadata", pickled_dict(tensors)},
                                                                      {"storage_data", places + "u"}}))));
}

}  // namespace hessian::support
