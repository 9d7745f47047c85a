#pragma once

#include <ATen/ATen.h>

#include <cstdint>
#include <optional>
#include <vector>

#include "hessian/eigenvalues.h"
#include "hessian/models/forward.h"
#include "hessian/models/model.h"
#include "hessian/models/token_data.h"

namespace hessian {

/// Options of probe(). The defaults are those of hessian-probe.
struct ProbeModelOptions {
  models::Site site = models::Site::residual;  ///< activation to differentiate the loss with respect to
  std::vector<int64_t> layers = {};            ///< empty: every layer that has the site
  Ends ends = Ends::dominant;                  ///< which eigenvalues to compute
  double tolerance = 1e-3;                     ///< residual norm ||H v - lambda v|| relative to the spectral norm
  double certify = 0.01;                       ///< distance of norm_upper relative to the spectral norm
  double confidence = 0.999;                   ///< probability with which all bounds hold together
  int64_t max_iterations = 200;                ///< maximum number of Hessian-vector products per eigenproblem
  uint64_t seed = 0;                           ///< seed of the start vectors
  std::optional<int64_t> memory_bytes = {};    ///< memory limit, without the weights; absent: 3/4 of the free memory
};

/// The curvature at a site of one layer: the ends of the spectrum of each sequence's activation Hessian H_xx, in nats.
/// Tensors are on the CPU, with one entry per sequence.
struct LayerCurvature {
  int64_t layer = 0;
  at::Tensor spectral_norm;  ///< [S] float64, max |lambda| over the requested ends
  at::Tensor lambda_max;     ///< [S] float64, NaN if this end was not requested
  at::Tensor lambda_min;     ///< [S] float64, NaN if this end was not requested
  at::Tensor norm_upper;     ///< [S] float64, certified upper bound of spectral_norm: see CertificateOptions
  at::Tensor residual_norm;  ///< [S] float64, the larger ||H v - lambda v|| of the requested ends
  at::Tensor asymmetry;   ///< [S] float64, how far the products are from those of a symmetric H, in nats: see lanczos()
  at::Tensor iterations;  ///< [S] int32, Hessian-vector products
  at::Tensor converged;   ///< [S] bool
  double rms = 0;         ///< root mean square of the activation over all sequences, positions and features
};

/// Measures the Hessian of the loss with respect to the activations of a model, layer by layer.
///
/// Computes what hessian-probe does, without a file, an environment or a command line: for each layer and each sequence
/// s, the extreme eigenvalues of the Hessian of the mean cross-entropy of sequence s with respect to the activation of
/// that sequence at the site, a square matrix of T * width rows.
///
/// \param model    stays unchanged; the measurement uses the device and the precision of its first weight
/// \param batch    tokens and targets, [S, T] int64
/// \return         one entry per layer, in ascending order
/// \throws std::invalid_argument  for a layer without the site, or a batch of another shape
/// \throws std::runtime_error     if one sequence does not fit into the memory limit, a weight or a value of the forward pass
///                                is not finite, or the input of a norm is so large that its squares overflow
/// Cost: per group of layers and sequences that fit into memory together, `iterations` Hessian-vector products, and one per
/// end to verify the residuals.
std::vector<LayerCurvature> probe(const models::Model& model, const models::TokenBatch& batch,
                                  const ProbeModelOptions& options = {});

}  // namespace hessian
