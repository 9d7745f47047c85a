#pragma once

#include <ATen/ATen.h>

#include <cstdint>
#include <limits>

#include "hessian/eigenvalues.h"
#include "hessian/models/model.h"
#include "hessian/models/token_data.h"
#include "train/preconditioner.h"

namespace hessian::experiments {

/// Largest eigenvalue of the Hessian of the mean loss with respect to all parameters.
struct Sharpness {
  double lambda_max = 0;        ///< nats
  double lambda_max_upper = 0;  ///< certified upper bound of lambda_max
  double residual_norm = 0;     ///< ||Hv - lambda v||
  int32_t iterations = 0;
  uint8_t converged = 0;
  double clip_factor = 1;  ///< c of the preconditioned sharpness
  int64_t left_out = 0;  ///< coordinates that no update has moved; those of the preconditioned sharpness are all others

  /// Returns the placeholder that a run file records if nothing was measured.
  static Sharpness unknown() {
    constexpr double nan = std::numeric_limits<double>::quiet_NaN();
    return {nan, nan, nan, -1, 0, nan, -1};
  }
};

struct SharpnessOptions {
  double tolerance = 1e-2;
  int64_t max_iterations = 200;
  uint64_t seed = 0;
  int64_t sequences_at_once = 0;  ///< per microbatch of a product; 0: all
  CertificateOptions certificate = {};
};

/// Computes the sharpness lambda_max(H), or with a preconditioner the preconditioned sharpness
/// lambda_max(c P^-1/2 H P^-1/2) on the coordinates that updates have moved, of the mean cross-entropy over all tokens of a
/// batch.
///
/// Runs on the model's device if the build has the tape's kernels for it, otherwise on the CPU.
/// \param preconditioner  without diagonals for the sharpness itself
/// \return  Sharpness::unknown() with the number of coordinates if no update has moved any
/// Cost: one Hessian-vector product per Lanczos step. Memory: the tape's of a microbatch, plus about 20 vectors of the
/// model's size.
/// Source: Cohen et al. (2021), arXiv 2103.00065, and (2022), arXiv 2207.14484.
Sharpness measure_sharpness(const models::Model& model, const models::TokenBatch& batch,
                            const Preconditioner& preconditioner, const SharpnessOptions& options);

}  // namespace hessian::experiments
