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
    : wide_(widened(subject)), record_(record_forward(wide_, layers)), engine_(engine), seed_(seed) {}

ProductDifferences ProductCheck::differences(models::Site site, int64_t layer, const ProbeSubject& subject,
                                             const at::Tensor& residual) const {
  const at::Tensor& wide_residual = record_.residuals.at(layer);
  const ProbeProblem problem = probe_problem(engine_, wide_.forward, site, {layer}, wide_residual, wide_.targets);
  const auto op = problem.hessians(0, 1, Keep::everything);
  const at::Tensor v = random_unit_vectors(*op, {.seed = seed_});
  const at::Tensor product = op->apply(v.unsqueeze(1)).squeeze(1);
  const auto losses = site_losses(wide_.forward, site, layer, wide_residual, wide_.targets);
  const at::Tensor difference = central_difference_product(losses, problem.x, v);

  const auto own = probe_problem(engine_, subject.forward, site, {layer}, residual.narrow(0, 0, 1), wide_.targets)
                       .hessians(0, 1, Keep::everything);
  const at::Tensor own_product = own->apply(v.to(own->vector_options()).unsqueeze(1)).squeeze(1);
  return {relative_difference(product, difference).item<double>(),
          relative_difference(own_product, product).item<double>()};
}

}  // namespace hessian::experiments
