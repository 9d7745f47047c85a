#include "checkpoints/rope_rows.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <stdexcept>

#include "io/messages.h"

namespace hessian::models {

at::Tensor interleave_rope_rows(const at::Tensor& weight, int64_t n_heads, int64_t rotated_dim) {
  const bool fits = n_heads > 0 && weight.dim() > 0 && weight.size(0) % n_heads == 0;
  const int64_t head_dim = fits ? weight.size(0) / n_heads : 0;
  const int64_t rotated = rotated_dim == 0 ? head_dim : rotated_dim;
  if (rotated < 2 || rotated % 2 != 0 || rotated > head_dim) {
    throw std::invalid_argument(fmt::format("a projection {} has no {} heads with an even number of rows to rotate",
                                            shape_text(weight.sizes()), n_heads));
  }
  const at::Tensor heads = weight.unflatten(0, {n_heads, head_dim});
  const at::Tensor pairs = heads.narrow(1, 0, rotated).unflatten(1, {2, rotated / 2}).transpose(1, 2).flatten(1, 2);
  return at::cat({pairs, heads.narrow(1, rotated, head_dim - rotated)}, 1).flatten(0, 1);
}

void add_rotated_rows(TakenWeights& weights, const std::string& name, const at::Tensor& tensor, int64_t n_heads,
                      const GptConfig& config, int64_t layer) {
  if (!has_rope(config, layer)) {
    weights.add(name, tensor);
    return;
  }
  weights.add(name, tensor, tensor.sizes(), [n_heads, rotated = config.rotated_dim](const at::Tensor& rows) {
    return interleave_rope_rows(rows, n_heads, rotated);
  });
}

}  // namespace hessian::models
