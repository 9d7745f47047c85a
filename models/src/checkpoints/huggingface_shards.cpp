#include "checkpoints/huggingface_shards.h"

#include <array>
#include <filesystem>

#include "checkpoints/shard_index.h"
#include "checkpoints/wrapper_prefixes.h"
#include "formats/safetensors.h"
#include "formats/torch_checkpoint.h"
#include "io/messages.h"

namespace hessian::models {
namespace {

Parameters load_safetensors_file(const std::string& path) {
  return load_safetensors(path).tensors;
}

Parameters load_torch_file(const std::string& path) {
  const TorchCheckpoint checkpoint = TorchCheckpoint::open(path);
  return checkpoint.state_dict(checkpoint.values().root());
}

/// A form of weight files: a single file, or several with an index.
struct ShardForm {
  const char* single;
  const char* index;
  const char* ending;
  Parameters (*load)(const std::string& path);
};

/// The first form that a folder has is read, as in transformers.
constexpr std::array<ShardForm, 2> forms = {
    {{"model.safetensors", "model.safetensors.index.json", ".safetensors", load_safetensors_file},
     {"pytorch_model.bin", "pytorch_model.bin.index.json", ".bin", load_torch_file}}};

/// Collects tensors under the keys of their names without the prefixes of wrappers.
class Collection {
 public:
  Collection(const std::string& folder, const std::function<std::string(const std::string&)>& key_of)
      : tensors_(folder), key_of_(key_of) {}

  void add(const std::string& name, const std::string& path, const at::Tensor& tensor) {
    if (const std::string key = key_of_(without_wrapper_prefixes(name)); !key.empty()) {
      tensors_.add(key, name, path, tensor);
    }
  }

  NamedTensors take() { return std::move(tensors_); }

 private:
  NamedTensors tensors_;
  const std::function<std::string(const std::string&)>& key_of_;
};

void read_single(const ShardForm& form, const std::string& path, Collection& collection) {
  for (const auto& [name, tensor] : form.load(path)) {
    collection.add(name, path, tensor);
  }
}

void read_shards(const ShardForm& form, const std::filesystem::path& folder, Collection& collection) {
  for (const auto& [shard, names] : read_shard_index((folder / form.index).string(), form.ending)) {
    const std::string path = (folder / shard).string();
    const Parameters contents = form.load(path);
    for (const auto& name : names) {
      if (!contents.contains(name)) {
        fail(path, "has no tensor {}, which {} says is in it", name_text(name), form.index);
      }
      collection.add(name, path, contents.at(name));
    }
  }
}

}  // namespace

NamedTensors read_huggingface_tensors(const std::string& folder,
                                      const std::function<std::string(const std::string&)>& key_of) {
  const std::filesystem::path base(folder);
  Collection collection(folder, key_of);
  for (const ShardForm& form : forms) {
    if (const auto single = base / form.single; std::filesystem::exists(single)) {
      read_single(form, single.string(), collection);
      return collection.take();
    }
    if (std::filesystem::exists(base / form.index)) {
      read_shards(form, base, collection);
      return collection.take();
    }
  }
  fail(folder, "has no weights: none of {}, {}, {} and {}", forms[0].single, forms[0].index, forms[1].single,
       forms[1].index);
}

}  // namespace hessian::models
