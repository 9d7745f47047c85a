#include "curvature/double_backward.h"

#include <torch/csrc/autograd/autograd.h>

namespace hessian {

std::vector<at::Tensor> gradients_of(const at::Tensor& scalar, const std::vector<at::Tensor>& leaves, bool keep_graph) {
  return torch::autograd::grad({scalar}, leaves, {}, keep_graph, keep_graph, /*allow_unused=*/true);
}

std::vector<at::Tensor> hessian_product(const std::vector<at::Tensor>& gradients, const std::vector<at::Tensor>& leaves,
                                        const std::vector<at::Tensor>& directions) {
  std::vector<at::Tensor> outputs;
  std::vector<at::Tensor> weights;
  for (std::size_t i = 0; i < gradients.size(); ++i) {
    if (gradients[i].defined() && gradients[i].requires_grad()) {  // otherwise the scalar is linear in the leaf
      outputs.push_back(gradients[i]);
      weights.push_back(directions[i]);
    }
  }
  if (outputs.empty()) {
    return std::vector<at::Tensor>(leaves.size());
  }
  return torch::autograd::grad(outputs, leaves, weights, /*retain_graph=*/true, /*create_graph=*/false,
                               /*allow_unused=*/true);
}

}  // namespace hessian
