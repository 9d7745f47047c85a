// Probes a GPT in memory, without files: for each layer, the Hessian of the loss with respect to the residual stream, whose
// spectral norm limits the learning rates with which the model trains stably.

#include <cmath>
#include <cstdio>

#include "hessian/hessian.h"
#include "hessian/models/model.h"
#include "hessian/probe.h"

int main() {
  hessian::models::GptConfig config;
  config.family = hessian::models::Family::llama2;
  config.placement = hessian::models::Placement::prenorm;
  config.dim = 32;
  config.n_layers = 3;
  config.n_heads = config.n_kv_heads = 4;
  config.head_dim = 8;
  config.ffn_hidden_dim = 64;
  config.vocab_size = 50;
  config.max_seq_len = 16;
  // Fresh weights here; load_checkpoint() (hessian/models/checkpoint.h) reads nanoGPT's and Hugging Face's formats.
  const hessian::models::Model model = hessian::models::initialise_model(config, /*seed=*/0);

  // Two sequences of 16 tokens; the target of each token is the next one.
  const at::Tensor text = at::randint(config.vocab_size, {2, 17}, at::kLong);
  const hessian::models::TokenBatch batch{text.narrow(1, 0, 16), text.narrow(1, 1, 16), {}};

  bool is_right = true;
  double last_norm = 0;
  for (const auto& layer : hessian::probe(model, batch, {.site = hessian::models::Site::residual, .tolerance = 1e-4})) {
    last_norm = layer.spectral_norm.max().item<double>();
    std::printf("layer %ld: spectral norms %.4f and %.4f, rms %.3f\n", static_cast<long>(layer.layer),
                layer.spectral_norm[0].item<double>(), layer.spectral_norm[1].item<double>(), layer.rms);
    is_right = is_right && layer.converged.all().item<bool>() && std::isfinite(layer.rms) &&
               at::equal(layer.spectral_norm, at::fmax(layer.lambda_max.abs(), layer.lambda_min.abs()));
  }
  return is_right && last_norm > 0 ? 0 : 1;
}
