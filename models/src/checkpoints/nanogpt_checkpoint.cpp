#include "checkpoints/nanogpt_checkpoint.h"

#include <string_view>

#include "checkpoints/gpt2_weights.h"
#include "checkpoints/model_arguments.h"
#include "checkpoints/named_tensors.h"
#include "checkpoints/taken_weights.h"
#include "checkpoints/wrapper_prefixes.h"
#include "formats/torch_checkpoint.h"
#include "io/messages.h"

namespace hessian::models {
namespace {

using NodeId = Pickle::NodeId;

constexpr const char* kind = "a nanoGPT checkpoint is a dict with 'model', 'model_args' and 'iter_num'";

GptConfig read_config(const ModelArguments& arguments, Activation gelu, const std::string& path) {
  GptConfig config;
  config.family = Family::gpt2;
  config.placement = Placement::prenorm;
  config.activation = gelu;
  config.dim = arguments.size("n_embd");
  config.n_layers = arguments.size("n_layer");
  config.n_heads = arguments.size("n_head");
  if (config.dim % config.n_heads != 0) {
    fail(path, "model_args 'n_head' is {}, which does not divide 'n_embd' {}", config.n_heads, config.dim);
  }
  config.n_kv_heads = config.n_heads;
  config.head_dim = config.dim / config.n_heads;
  config.ffn_hidden_dim = 4 * config.dim;
  config.vocab_size = arguments.size("vocab_size");
  config.max_seq_len = arguments.size("block_size");
  config.norm_eps = 1e-5;
  // Checkpoints that are older than this option have all biases.
  set_all_biases(config, arguments.boolean("bias", true));
  config.tied_head = true;
  with_source(path, [&] { validate(config); });
  return config;
}

/// Returns the key of a tensor: its name without prefixes.
std::string key_of(const std::string& name) {
  constexpr std::string_view root = "transformer.";
  const std::string plain = without_wrapper_prefixes(name);
  return plain.starts_with(root) ? plain.substr(root.size()) : plain;
}

}  // namespace

TrainedModel load_nanogpt_checkpoint(const std::string& path, WeightAccess access, Activation gelu) {
  const TorchCheckpoint checkpoint = TorchCheckpoint::open(path);
  const NodeId state = root_entry(checkpoint, "model", path, kind);
  const ModelArguments arguments(checkpoint, root_entry(checkpoint, "model_args", path, kind), path);
  const GptConfig config = read_config(arguments, gelu, path);

  NamedTensors tensors(path);
  for (const auto& [name, tensor] : checkpoint.state_dict(state)) {
    const std::string key = key_of(name);
    if (!is_gpt2_buffer(key)) {
      tensors.add(key, name, path, tensor);
    }
  }
  TakenWeights weights(access);
  for (const auto& [name, tensor] : take_gpt2_weights(tensors, config, LinearLayout::out_in, WeightAccess::ready)) {
    weights.add(name, tensor, tensor.sizes(), [](const at::Tensor& in_file) { return in_file.clone(); });
  }
  return {assemble_model(config, weights.take(), path, access), read_training_step(checkpoint, path)};
}

}  // namespace hessian::models
