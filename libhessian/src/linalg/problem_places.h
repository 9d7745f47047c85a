#pragma once

#include <cstdint>
#include <vector>

#include "hessian/linear_operator.h"

namespace hessian {

/// Positions of problems in the list of recorded problems.
struct ProblemPlaces {
  std::vector<int64_t> places;  ///< for a problem that is not in the list: the list's size
  bool complete = true;         ///< whether the list contains all problems
};

/// Finds each problem in the list of recorded ones.
ProblemPlaces places_among(const ProblemIndices& recorded, const ProblemIndices& problems);

/// Returns whether to record again for only these problems: if some of them are not recorded, or if they are at most
/// three quarters of those recorded. A recording costs about half a product, and each later product saves the share of
/// the problems left out.
bool worth_recording(const ProblemIndices& recorded, const ProblemIndices& problems);

}  // namespace hessian
