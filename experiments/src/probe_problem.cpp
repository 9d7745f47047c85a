#include "probe_problem.h"

#include <memory>

#include "hessian/hessian_operator.h"
#include "hessian/tape_operator.h"
#include "probe_subject.h"

namespace experiments {

ProbeProblem probe_problem(Engine engine, const models::Forward& forward, models::Site site, int64_t layer,
                           const at::Tensor& residual, const at::Tensor& targets) {
  const at::Tensor activation = site_activation(forward, site, layer, residual);
  // Eigenvectors need more digits than bfloat16 has.
  const at::Tensor x = activation.to(activation.scalar_type() == at::kDouble ? at::kDouble : at::kFloat);
  if (engine == Engine::autograd) {
    return {x, [=, &forward](int64_t first, int64_t count) -> hessian::OperatorPtr {
              const auto losses =
                  site_losses(forward, site, layer, residual.narrow(0, first, count), targets.narrow(0, first, count));
              return std::make_shared<hessian::HessianOperator>(losses, x.narrow(0, first, count));
            }};
  }
  return {x, [=, &forward](int64_t first, int64_t count) -> hessian::OperatorPtr {
            const hessian::Program program = forward.losses_program(layer);
            const std::vector<at::Tensor> inputs = {residual.narrow(0, first, count), targets.narrow(0, first, count)};
            return std::make_shared<hessian::TapeOperator>(program, forward.parameters(), inputs,
                                                           program.sites.at(models::site_name(site, layer)));
          }};
}

}  // namespace experiments
