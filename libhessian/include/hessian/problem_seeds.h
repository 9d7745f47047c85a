#pragma once

#include <ATen/core/Generator.h>

#include <cstdint>
#include <vector>

#include "hessian/linear_operator.h"

namespace hessian {

/// Seeds of the random vectors of S problems. Each problem draws its vectors independently of the other problems.
struct ProblemSeeds {
  uint64_t seed = 0;
  /// Number of each problem, which selects its random vectors; empty: 0, 1, 2, ... If a large set of problems is solved
  /// in groups, give each group the problems' numbers in the whole set, so that the results do not depend on the
  /// grouping.
  std::vector<int64_t> problem_numbers = {};
};

/// Returns a generator that depends only on the seed, the problem's number and the stream. Streams of a problem are
/// independent; stream 0 is that of start vectors.
at::Generator problem_generator(const ProblemSeeds& seeds, int64_t problem, uint64_t stream = 0);

/// Draws one unit vector per problem, [S, n], normally distributed before scaling, hence uniform on the sphere.
at::Tensor random_unit_vectors(const LinearOperator& op, const ProblemSeeds& seeds, uint64_t stream = 0);

/// Draws one vector of random signs per problem, [S, n]: -1 or 1 with equal probability (Rademacher).
at::Tensor random_signs(const LinearOperator& op, const ProblemSeeds& seeds, uint64_t stream);

/// Checks that an operator has problems, and that problem numbers are given for all of them or for none.
/// \param caller  the caller's name for the message, such as "an eigensolver"
/// \throws std::invalid_argument  if not
void check_problems(const LinearOperator& op, const ProblemSeeds& seeds, const char* caller);

}  // namespace hessian
