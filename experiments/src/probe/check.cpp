#include "probe/check.h"

#include "hessian/finite_difference.h"
#include "hessian/problem_seeds.h"
#include "probe/problem.h"

namespace hessian::experiments {
namespace {

/// Returns a subject with weights in float64 and the first sequence only.
ProbeSubject widened(const ProbeSubject& subject) {
  const models::Model model{subject.forward.config(),
                            subject.forward.parameters().to(subject.tokens.device(), at::kDouble)};
  return {models::Forward(model), subject.tokens.narrow(0, 0, 1), subject.targets.narrow(0, 0, 1), subject.step,
          subject.description};
}

}  // namespace

ProductCheck::ProductCheck(const ProbeSubject& subject, const std::vector<int64_t>& layers, Engine engine,
                           uint64_t seed)
    : subject_(widened(subject)), record_(record_forward(subject_, layers)), engine_(engine), seed_(seed) {}

double ProductCheck::relative_difference(models::Site site, int64_t layer) const {
  const at::Tensor& residual = record_.residuals.at(layer);
  const ProbeProblem problem = probe_problem(engine_, subject_.forward, site, {layer}, residual, subject_.targets);
  const auto op = problem.hessians(0, 1, Keep::everything);
  const at::Tensor v = random_unit_vectors(*op, {.seed = seed_});
  const at::Tensor product = op->apply(v.unsqueeze(1)).squeeze(1);
  const auto losses = site_losses(subject_.forward, site, layer, residual, subject_.targets);
  const at::Tensor difference = central_difference_product(losses, problem.x, v);
  return hessian::relative_difference(product, difference).item<double>();
}

}  // namespace hessian::experiments
