#pragma once

#include <cstdint>

#include "hessian/parameter_problem.h"

namespace hessian {

/// Replaces the targets [B, T] of a problem by labels [B, T, count], drawn independently from the softmax of the
/// program's own logits. They depend only on the seed, the data and the weights.
///
/// \param max_logits  maximum number of logits that exist at once, except those of one position
/// \throws std::invalid_argument  if the program's output is not a cross-entropy whose targets are an input
/// Cost: one forward pass, sequence by sequence.
void replace_targets(ParameterProblem& problem, int64_t count, uint64_t seed, int64_t max_logits = int64_t{1} << 22);

}  // namespace hessian
