#pragma once

#include <ATen/ATen.h>

#include <cstdint>
#include <functional>
#include <vector>

#include "hessian/models/forward.h"
#include "hessian/operator_algebra.h"
#include "probe/probe.h"

namespace hessian::experiments {

/// What an operator keeps between products.
enum class Keep {
  everything,
  checkpoints,  ///< the residual before each layer; the rest is recomputed for each product
};

/// The eigenproblems at one site of some layers: the Hessians of each sequence's loss with respect to the activation at
/// that site.
struct ProbeProblem {
  std::vector<int64_t> layers;  ///< ascending; one, unless the engine is the tape
  at::Tensor x;                 ///< the activation at the first layer, [S, T, width], in the eigenvectors' precision
  int64_t first_sequence = 0;   ///< index of the first sequence among all probed sequences
  /// Returns the Hessians of `count` sequences from `first` on: problem l * count + s belongs to layers[l] and sequence
  /// first + s.
  std::function<OperatorPtr(int64_t first, int64_t count, Keep keep)> hessians;
};

/// Returns the eigenproblems at a site. `forward` must outlive them.
/// \param residual  input of the first layer, [S, T, dim], held fixed unless the site is the residual
/// \param targets   [S, T]
ProbeProblem probe_problem(Engine engine, const models::Forward& forward, models::Site site,
                           const std::vector<int64_t>& layers, const at::Tensor& residual, const at::Tensor& targets);

}  // namespace hessian::experiments
