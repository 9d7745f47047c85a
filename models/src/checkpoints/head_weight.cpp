#include "checkpoints/head_weight.h"

namespace hessian::models {

void take_head(NamedTensors& tensors, const std::string& key, const GptConfig& config, const at::Tensor& embedding,
               TakenWeights& result) {
  if (config.tied_head) {
    tensors.drop_tied(key, embedding);
  } else {
    result.add("output.weight", tensors.take(key, {config.vocab_size, config.dim}));
  }
}

}  // namespace hessian::models
