#include "train/sharpness.h"

#include <memory>
#include <utility>

#include "hessian/lanczos.h"
#include "hessian/models/forward.h"
#include "hessian/operator_algebra.h"
#include "hessian/parameter_operator.h"
#include "hessian/tape.h"

namespace hessian::experiments {
namespace {

at::Tensor flattened(const std::vector<at::Tensor>& tensors) {
  std::vector<at::Tensor> parts;
  for (const at::Tensor& tensor : tensors) {
    parts.push_back(tensor.detach().flatten());
  }
  return at::cat(parts);
}

}  // namespace

Sharpness measure_sharpness(const models::Model& model, const models::TokenBatch& batch,
                            const std::vector<at::Tensor>& preconditioner, const SharpnessOptions& options) {
  // A build without the tape's kernels for the model's device measures on the CPU.
  const at::Tensor& first = model.parameters.begin()->second;
  const at::Device device = hessian::tape_runs_on(first.device()) ? first.device() : at::Device(at::kCPU);
  const models::Forward forward(models::Model{model.config, model.parameters.to(device, first.scalar_type())});
  hessian::ParameterProblem problem{
      forward.whole_program(), forward.parameters(), {batch.tokens.to(device), batch.targets.to(device)}, {}};
  hessian::OperatorPtr op = std::make_shared<hessian::ParameterOperator>(std::move(problem));
  if (!preconditioner.empty()) {
    op = hessian::rescaled(op, flattened(preconditioner).rsqrt().unsqueeze(0).to(device));
  }
  hessian::LanczosOptions lanczos_options;
  lanczos_options.ends = hessian::Ends::upper;
  lanczos_options.tolerance = options.tolerance;
  lanczos_options.max_iterations = options.max_iterations;
  lanczos_options.seed = options.seed;
  lanczos_options.max_basis = 16;  // each vector is as large as the model
  const hessian::ExtremalEigenvalues ends = hessian::lanczos(*op, lanczos_options);
  Sharpness sharpness;
  sharpness.lambda_max = ends.lambda_max.item<double>();
  sharpness.residual_norm = ends.residual_max.item<double>();
  sharpness.iterations = ends.iterations.item<int32_t>();
  sharpness.converged = ends.converged.item<bool>() ? 1 : 0;
  return sharpness;
}

}  // namespace hessian::experiments
