#include "checkpoints/head_weight.h"

namespace hessian::models {

void take_head(NamedTensors& tensors, const std::string& key, const GptConfig& config, const at::Tensor& embedding,
               TakenWeights& result) {
  if (!config.tied_head) {
    result.add("output.weight", tensors.take(key, {config.vocab_size, config.dim}));
  } else if (result.access() != WeightAccess::unread) {
    tensors.drop_tied(key, embedding);
  } else if (tensors.contains(key)) {
    tensors.take(key, embedding.sizes().vec());
  }
}

}  // namespace hessian::models
