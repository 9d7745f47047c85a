#pragma once

#include <ATen/ATen.h>

#include <cstdint>
#include <limits>
#include <vector>

#include "hessian/eigenvalues.h"
#include "hessian/models/model.h"
#include "hessian/models/token_data.h"

namespace hessian::experiments {

/// Largest eigenvalue of the Hessian of the mean loss with respect to all parameters.
struct Sharpness {
  double lambda_max = 0;        ///< nats
  double lambda_max_upper = 0;  ///< certified upper bound of lambda_max
  double residual_norm = 0;     ///< ||Hv - lambda v||
  int32_t iterations = 0;
  uint8_t converged = 0;

  /// Returns the placeholder that a run file records if nothing was measured.
  static Sharpness unknown() {
    constexpr double nan = std::numeric_limits<double>::quiet_NaN();
    return {nan, nan, nan, -1, 0};
  }
};

struct SharpnessOptions {
  double tolerance = 1e-2;
  int64_t max_iterations = 200;
  uint64_t seed = 0;
  CertificateOptions certificate = {};
};

/// Computes the sharpness lambda_max(H), or with a preconditioner P the preconditioned sharpness
/// lambda_max(P^-1/2 H P^-1/2), of the mean cross-entropy over all tokens of a batch.
///
/// Runs on the model's device if the build has the tape's kernels for it, otherwise on the CPU.
/// \param preconditioner  positive diagonal of P, one tensor per parameter in the model's order; empty for P = I
/// Cost: one Hessian-vector product per Lanczos step. Memory: the tape's, plus about 20 vectors of the model's size.
/// Source: Cohen et al. (2021), arXiv 2103.00065, and (2022), arXiv 2207.14484.
Sharpness measure_sharpness(const models::Model& model, const models::TokenBatch& batch,
                            const std::vector<at::Tensor>& preconditioner, const SharpnessOptions& options);

}  // namespace hessian::experiments
