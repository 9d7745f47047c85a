#include "checkpoints/nanogpt_checkpoint.h"

#include <optional>
#include <string_view>

#include "checkpoints/gpt2_weights.h"
#include "checkpoints/named_tensors.h"
#include "checkpoints/taken_weights.h"
#include "formats/torch_checkpoint.h"
#include "io/messages.h"

namespace hessian::models {
namespace {

using NodeId = Pickle::NodeId;

NodeId entry(const Pickle& values, NodeId dict, const char* key, const std::string& path) {
  const auto found = values.find(dict, key);
  if (!found) {
    fail(path, "has no {}; a nanoGPT checkpoint is a dict with 'model', 'model_args' and 'iter_num'", name_text(key));
  }
  return *found;
}

/// Reads a size below 2^31, so that products of two sizes cannot overflow.
int64_t size_argument(const Pickle& values, NodeId arguments, const char* key, const std::string& path) {
  const NodeId id = entry(values, arguments, key, path);
  const auto& node = values[id];
  if (node.kind != Pickle::Kind::integer || node.integer < 1 || node.integer > INT32_MAX) {
    fail(path, "model_args {} is {}, expected a positive integer", name_text(key), describe(values, id));
  }
  return node.integer;
}

/// Returns `bias`; true for checkpoints that are older than this option, which have all biases.
bool bias_argument(const Pickle& values, NodeId arguments, const std::string& path) {
  const auto id = values.find(arguments, "bias");
  if (id && values[*id].kind != Pickle::Kind::boolean) {
    fail(path, "model_args 'bias' is {}, expected True or False", describe(values, *id));
  }
  return !id || values[*id].integer != 0;
}

GptConfig read_config(const Pickle& values, NodeId arguments, const std::string& path) {
  GptConfig config;
  config.family = Family::gpt2;
  config.placement = Placement::prenorm;
  config.activation = Activation::gelu;
  config.dim = size_argument(values, arguments, "n_embd", path);
  config.n_layers = size_argument(values, arguments, "n_layer", path);
  config.n_heads = size_argument(values, arguments, "n_head", path);
  if (config.dim % config.n_heads != 0) {
    fail(path, "model_args 'n_head' is {}, which does not divide 'n_embd' {}", config.n_heads, config.dim);
  }
  config.n_kv_heads = config.n_heads;
  config.head_dim = config.dim / config.n_heads;
  config.ffn_hidden_dim = 4 * config.dim;
  config.vocab_size = size_argument(values, arguments, "vocab_size", path);
  config.max_seq_len = size_argument(values, arguments, "block_size", path);
  config.norm_eps = 1e-5;
  set_all_biases(config, bias_argument(values, arguments, path));
  config.tied_head = true;
  with_source(path, [&] { validate(config); });
  return config;
}

/// Removes the prefixes of torch.compile and DistributedDataParallel, which occur in any order.
std::string_view without_prefixes(std::string_view name) {
  constexpr std::string_view wrappers[] = {"_orig_mod.", "module."};
  for (bool stripped = true; stripped;) {
    stripped = false;
    for (const auto wrapper : wrappers) {
      if (name.starts_with(wrapper)) {
        name.remove_prefix(wrapper.size());
        stripped = true;
      }
    }
  }
  constexpr std::string_view root = "transformer.";
  return name.starts_with(root) ? name.substr(root.size()) : name;
}

int64_t read_training_step(const Pickle& values, const std::string& path) {
  const auto id = values.find(values.root(), "iter_num");
  if (!id) {
    return 0;
  }
  if (values[*id].kind != Pickle::Kind::integer || values[*id].integer < 0) {
    fail(path, "'iter_num' is {}, expected a non-negative integer", describe(values, *id));
  }
  return values[*id].integer;
}

}  // namespace

TrainedModel load_nanogpt_checkpoint(const std::string& path, WeightAccess access) {
  const TorchCheckpoint checkpoint = TorchCheckpoint::open(path);
  const Pickle& values = checkpoint.values();
  if (!values.is_dict(values.root())) {
    fail(path, "holds {}; a nanoGPT checkpoint is a dict with 'model', 'model_args' and 'iter_num'",
         describe(values, values.root()));
  }
  const NodeId state = entry(values, values.root(), "model", path);
  const NodeId arguments = entry(values, values.root(), "model_args", path);
  if (!values.is_dict(arguments)) {
    fail(path, "'model_args' is {}, expected a dict", describe(values, arguments));
  }
  const GptConfig config = read_config(values, arguments, path);

  NamedTensors tensors(path);
  for (const auto& [name, tensor] : checkpoint.state_dict(state)) {
    const std::string key(without_prefixes(name));
    if (!is_gpt2_buffer(key)) {
      tensors.add(key, name, path, tensor);
    }
  }
  TakenWeights weights(access);
  for (const auto& [name, tensor] : take_gpt2_weights(tensors, config, LinearLayout::out_in, WeightAccess::ready)) {
    weights.add(name, tensor, tensor.sizes(), [](const at::Tensor& in_file) { return in_file.clone(); });
  }
  return {assemble_model(config, weights.take(), path, access), read_training_step(values, path)};
}

}  // namespace hessian::models
