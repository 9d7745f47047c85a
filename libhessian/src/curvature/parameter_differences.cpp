#include "hessian/parameter_differences.h"

#include <algorithm>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "hessian/evaluate.h"
#include "hessian/finite_difference.h"

namespace hessian {
namespace {

at::Tensor flattened(const Parameters& parameters) {
  std::vector<at::Tensor> flat;
  for (const auto& entry : parameters) {
    flat.push_back(entry.second.detach().flatten());
  }
  return at::cat(flat);
}

}  // namespace

ParameterDifferences::ParameterDifferences(ParameterProblem problem, int64_t sequences_at_once)
    : problem_(std::move(problem)), sequences_at_once_(sequences_at_once) {
  check(problem_);
  if (sequences_at_once < 0) {
    throw std::invalid_argument("sequences at once must not be negative, they are " +
                                std::to_string(sequences_at_once));
  }
  if (sequences_at_once == 0) {
    sequences_at_once_ = problem_.sequences();
  }
  varying_ = problem_.varying();
  point_ = flattened(varying_).unsqueeze(0);
}

at::Tensor ParameterDifferences::do_apply(const at::Tensor& v, const ProblemIndices& /*problems*/) const {
  at::Tensor result = at::zeros_like(v);
  const int64_t sequences = problem_.sequences();
  for (int64_t first = 0; first < sequences; first += sequences_at_once_) {
    const auto inputs = problem_.inputs_of(first, std::min(sequences_at_once_, sequences - first));
    const auto share_of_loss = [&](const at::Tensor& x, const ProblemIndices& /*problems*/) {
      const Parameters moved = split_like(x.squeeze(0), varying_);
      Parameters all;
      for (const auto& [name, tensor] : problem_.parameters) {
        all.add(name, moved.contains(name) ? moved.at(name) : tensor);
      }
      return evaluate(problem_.program, all, inputs).sum().unsqueeze(0) / static_cast<double>(sequences);
    };
    for (int64_t j = 0; j < v.size(1) && v.size(0) > 0; ++j) {
      result.select(1, j).add_(central_difference_product(share_of_loss, point_, v.select(1, j)));
    }
  }
  return result;
}

}  // namespace hessian
