#include "sharpness.h"

#include <memory>

#include "hessian/hessian_operator.h"
#include "hessian/lanczos.h"
#include "hessian/operator_algebra.h"
#include "models/forward.h"

namespace experiments {
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
  std::vector<at::Tensor> tensors;
  for (const auto& [name, tensor] : model.parameters) {
    tensors.push_back(tensor);
  }
  // One block: all parameters are one point.
  const at::Tensor point = flattened(tensors).unsqueeze(0);
  const auto loss = [&](const at::Tensor& x, const hessian::BlockIndices& /*blocks*/) {
    const models::Forward forward(models::Model{model.config, hessian::split_like(x.squeeze(0), model.parameters)});
    return forward.losses(0, forward.embed(batch.tokens), batch.targets).mean().unsqueeze(0);
  };
  hessian::OperatorPtr op = std::make_shared<hessian::HessianOperator>(loss, point);
  if (!preconditioner.empty()) {
    op = hessian::rescaled(op, flattened(preconditioner).rsqrt().unsqueeze(0));
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

}  // namespace experiments
