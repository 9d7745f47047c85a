#include "train/sharpness.h"

#include <memory>
#include <utility>

#include "hessian/lanczos.h"
#include "hessian/models/forward.h"
#include "hessian/operator_algebra.h"
#include "hessian/parameter_operator.h"
#include "hessian/tape.h"

namespace hessian::experiments {

Sharpness measure_sharpness(const models::Model& model, const models::TokenBatch& batch,
                            const Preconditioner& preconditioner, const SharpnessOptions& options) {
  const at::Tensor& first = model.parameters.begin()->second;
  const at::Device device = tape_runs_on(first.device()) ? first.device() : at::Device(at::kCPU);
  const models::Forward forward(models::Model{model.config, model.parameters.to(device, first.scalar_type())});
  ParameterProblem problem{
      forward.whole_program(), forward.parameters(), {batch.tokens.to(device), batch.targets.to(device)}, {}};
  const Parameters& parameters = forward.parameters();
  OperatorPtr op = std::make_shared<ParameterOperator>(
      std::move(problem), ParameterOperatorOptions{.sequences_at_once = options.sequences_at_once});
  Sharpness sharpness;
  if (!preconditioner.empty()) {
    const MovedCoordinates moved = moved_coordinates(preconditioner, parameters);
    if (moved.indices.numel() == 0) {
      sharpness = Sharpness::unknown();
      sharpness.left_out = moved.left_out;
      return sharpness;
    }
    op = preconditioned(op, moved);
    sharpness.clip_factor = preconditioner.clip_factor;
    sharpness.left_out = moved.left_out;
  }
  LanczosOptions lanczos_options;
  lanczos_options.ends = Ends::upper;
  lanczos_options.certificate = options.certificate;
  lanczos_options.tolerance = options.tolerance;
  lanczos_options.max_iterations = options.max_iterations;
  lanczos_options.seed = options.seed;
  lanczos_options.max_basis = 16;  // few, since each vector is as large as the model
  const ExtremalEigenvalues ends = lanczos(*op, lanczos_options);
  sharpness.lambda_max = ends.lambda_max.item<double>();
  sharpness.lambda_max_upper = ends.lambda_max_upper.item<double>();
  sharpness.residual_norm = ends.residual_max.item<double>();
  sharpness.iterations = ends.iterations.item<int32_t>();
  sharpness.converged = ends.converged.item<bool>() ? 1 : 0;
  return sharpness;
}

}  // namespace hessian::experiments
