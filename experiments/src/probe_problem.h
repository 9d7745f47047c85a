#pragma once

#include <ATen/ATen.h>

#include <cstdint>
#include <functional>

#include "experiments/probe.h"
#include "hessian/operator_algebra.h"
#include "models/forward.h"

namespace experiments {

/// The eigenproblems at one site of one layer: the Hessian of each sequence's loss with respect to its activation.
struct ProbeProblem {
  at::Tensor x;  ///< the activation, [S, T, width], in the precision of the eigenvectors
  /// The Hessians of `count` sequences from `first` on.
  std::function<hessian::OperatorPtr(int64_t first, int64_t count)> hessians;
};

/// \param residual  the residual before the block, [S, T, dim], held fixed unless it is the site
/// \param targets   [S, T]
/// The model has to outlive the problem.
ProbeProblem probe_problem(Engine engine, const models::Forward& forward, models::Site site, int64_t layer,
                           const at::Tensor& residual, const at::Tensor& targets);

}  // namespace experiments
