#include "probe/problem.h"

#include <memory>
#include <stdexcept>

#include "hessian/hessian_operator.h"
#include "hessian/tape_operator.h"
#include "probe/subject.h"

namespace hessian::experiments {
namespace {

/// Returns the losses as a function that starts at the first layer and is differentiated at the site of every layer.
TapeProblem tape_problem(const models::Forward& forward, models::Site site, const std::vector<int64_t>& layers,
                         Keep keep) {
  TapeProblem problem;
  problem.program = forward.losses_program(layers.front());
  problem.parameters = forward.parameters();
  for (const int64_t layer : layers) {
    problem.values.push_back(problem.program.sites.at(models::site_name(site, layer)));
  }
  for (int64_t layer = layers.front() + 1; keep == Keep::checkpoints && layer <= forward.config().n_layers; ++layer) {
    problem.checkpoints.push_back(problem.program.sites.at(models::site_name(models::Site::residual, layer)));
  }
  return problem;
}

}  // namespace

ProbeProblem probe_problem(Engine engine, const models::Forward& forward, models::Site site,
                           const std::vector<int64_t>& layers, const at::Tensor& residual, const at::Tensor& targets) {
  const int64_t layer = layers.front();
  const at::Tensor activation = site_activation(forward, site, layer, residual);
  // bfloat16 has too few digits for eigenvectors.
  const at::Tensor x = activation.to(activation.scalar_type() == at::kDouble ? at::kDouble : at::kFloat);
  if (engine == Engine::tape) {
    return {layers, x, 0, [=, &forward](int64_t first, int64_t count, Keep keep) -> OperatorPtr {
              TapeProblem problem = tape_problem(forward, site, layers, keep);
              // The tape computes in the vectors' precision; only the weights are rounded to bfloat16.
              problem.inputs = {residual.narrow(0, first, count).to(x.scalar_type()), targets.narrow(0, first, count)};
              return std::make_shared<TapeOperator>(std::move(problem));
            }};
  }
  if (layers.size() != 1) {
    throw std::invalid_argument("autograd differentiates at one layer at a time");
  }
  return {layers, x, 0, [=, &forward](int64_t first, int64_t count, Keep keep) -> OperatorPtr {
            if (keep != Keep::everything) {
              throw std::invalid_argument("autograd cannot recompute layers");
            }
            const auto losses =
                site_losses(forward, site, layer, residual.narrow(0, first, count), targets.narrow(0, first, count));
            return std::make_shared<HessianOperator>(losses, x.narrow(0, first, count));
          }};
}

}  // namespace hessian::experiments
