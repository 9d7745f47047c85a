#pragma once

#include <ATen/core/Generator.h>

#include <cstdint>
#include <vector>

#include "hessian/linear_operator.h"

namespace hessian {

/// What random vectors of S problems are drawn from. Each problem draws its own, whatever the other problems are.
struct ProblemSeeds {
  uint64_t seed = 0;
  /// The number from which each problem draws; empty: 0, 1, 2, ... With the problems' numbers in a larger problem that is
  /// solved in parts, the results do not depend on how it is divided.
  std::vector<int64_t> problem_numbers;
};

/// Random numbers of a problem that depend on the seed, the problem's number and the stream alone. Streams of a problem are
/// independent; a start vector is drawn from stream 0.
at::Generator problem_generator(const ProblemSeeds& seeds, int64_t problem, uint64_t stream = 0);

/// Random unit vectors for every problem, [S, n], normally distributed, hence uniform on the sphere.
at::Tensor random_unit_vectors(const LinearOperator& op, const ProblemSeeds& seeds, uint64_t stream = 0);

/// Random signs, -1 or 1 with equal chances (Rademacher), for every problem, [S, n].
at::Tensor random_signs(const LinearOperator& op, const ProblemSeeds& seeds, uint64_t stream);

/// Checks that an operator has problems, and that there are numbers for all of them or for none.
/// \param asker  what needs them, for the message
/// \throws std::invalid_argument
void check_problems(const LinearOperator& op, const ProblemSeeds& seeds, const char* asker);

}  // namespace hessian
