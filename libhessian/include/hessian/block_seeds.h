#pragma once

#include <ATen/core/Generator.h>

#include <cstdint>
#include <vector>

#include "hessian/linear_operator.h"

namespace hessian {

/// What random vectors of S blocks are drawn from. Each block draws its own, whatever the other blocks are.
struct BlockSeeds {
  uint64_t seed = 0;
  /// The number from which each block draws; empty: 0, 1, 2, ... With the blocks' numbers in a larger problem that is
  /// solved in parts, the results do not depend on how it is divided.
  std::vector<int64_t> block_numbers;
};

/// Random numbers of a block that depend on the seed, the block's number and the stream alone. Streams of a block are
/// independent; a start vector is drawn from stream 0.
at::Generator block_generator(const BlockSeeds& seeds, int64_t block, uint64_t stream = 0);

/// Random unit vectors for every block, [S, n], normally distributed, hence uniform on the sphere.
at::Tensor random_unit_vectors(const LinearOperator& op, const BlockSeeds& seeds, uint64_t stream = 0);

/// Random signs, -1 or 1 with equal chances (Rademacher), for every block, [S, n].
at::Tensor random_signs(const LinearOperator& op, const BlockSeeds& seeds, uint64_t stream);

/// Checks that an operator has blocks, and that there are numbers for all of them or for none.
/// \param asker  what needs them, for the message
/// \throws std::invalid_argument
void check_blocks(const LinearOperator& op, const BlockSeeds& seeds, const char* asker);

}  // namespace hessian
