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
  checkpoints,  ///< the residual before each block; what is between is computed again for each product
};

/// The eigenproblems at one site of some layers: the Hessians of each sequence's loss with respect to the activations
/// there.
struct ProbeProblem {
  std::vector<int64_t> layers;  ///< ascending; one, unless the engine is the tape
  at::Tensor x;  ///< the activation at the first layer, [S, T, width], in the precision of the eigenvectors
  int64_t first_sequence = 0;  ///< number of the first sequence among all that are probed
  /// The Hessians of `count` sequences from `first` on: block l * count + s is that of layer number l and sequence s.
  std::function<hessian::OperatorPtr(int64_t first, int64_t count, Keep keep)> hessians;
};

/// \param residual  the residual before the first layer's block, [S, T, dim], held fixed unless it is the site
/// \param targets   [S, T]
/// The model has to outlive the problem.
ProbeProblem probe_problem(Engine engine, const models::Forward& forward, models::Site site,
                           const std::vector<int64_t>& layers, const at::Tensor& residual, const at::Tensor& targets);

}  // namespace hessian::experiments
