#include "checkpoints/llama2c_checkpoint.h"

#include "checkpoints/model_arguments.h"
#include "checkpoints/stored_tensors.h"
#include "checkpoints/wrapper_prefixes.h"
#include "io/messages.h"

namespace hessian::models {
namespace {

constexpr const char* kind = "a checkpoint of llama2.c is a dict with 'model', 'model_args' and 'iter_num'";

GptConfig read_config(const ModelArguments& arguments, const std::string& path) {
  GptConfig config;
  config.family = Family::llama2;
  config.dim = arguments.size("dim");
  config.n_layers = arguments.size("n_layers");
  config.n_heads = arguments.size("n_heads");
  config.n_kv_heads = arguments.size("n_kv_heads", config.n_heads);
  if (config.dim % config.n_heads != 0) {
    fail(path, "model_args 'n_heads' is {}, which does not divide 'dim' {}", config.n_heads, config.dim);
  }
  config.head_dim = config.dim / config.n_heads;
  const auto derived = swiglu_hidden_dim(config.dim, std::nullopt, arguments.size("multiple_of", 256));
  config.ffn_hidden_dim = arguments.size("hidden_dim", derived);
  config.vocab_size = arguments.size("vocab_size", 32000);
  config.max_seq_len = arguments.size("max_seq_len", 2048);
  config.norm_eps = arguments.real("norm_eps", 1e-5);
  config.rope_theta = 10000.0;
  return config;
}

std::string key_of(const std::string& name) {
  const std::string key = without_wrapper_prefixes(name);
  return key == "freqs_cos" || key == "freqs_sin" ? "" : key;
}

}  // namespace

bool is_llama2c_checkpoint(const TorchCheckpoint& checkpoint) {
  const Pickle& values = checkpoint.values();
  const auto arguments = values.find(values.root(), "model_args");
  return arguments && values.find(*arguments, "dim") && values.find(*arguments, "n_layers") &&
         !values.find(*arguments, "n_embd");
}

TrainedModel load_llama2c_checkpoint(const std::string& path, WeightAccess access) {
  const TorchCheckpoint checkpoint = TorchCheckpoint::open(path);
  const Pickle::NodeId state = root_entry(checkpoint, "model", path, kind);
  const ModelArguments arguments(checkpoint, root_entry(checkpoint, "model_args", path, kind), path);
  GptConfig config = read_config(arguments, path);
  StoredTensors tensors(path);
  for (const auto& [name, place] : checkpoint.archive().state_dict(state)) {
    if (const std::string key = key_of(name); !key.empty()) {
      tensors.add(key, whole_tensor(name, checkpoint.file(), place));
    }
  }
  config.tied_head = tensors.head_is_embedding();
  with_source(path, [&] { validate(config); });
  return {tensors.take(config, access, FileUse::copied), read_training_step(checkpoint, path)};
}

}  // namespace hessian::models
