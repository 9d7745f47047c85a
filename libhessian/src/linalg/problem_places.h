#pragma once

#include <cstdint>
#include <vector>

#include "hessian/linear_operator.h"

namespace hessian {

/// Where each of the problems stands among those that something was recorded for.
struct ProblemPlaces {
  std::vector<int64_t> places;
  bool complete = true;  ///< whether all of them are there
};

ProblemPlaces places_among(const ProblemIndices& recorded, const ProblemIndices& problems);

/// Whether to record anew for these problems alone: recording costs about as much as half a product, and every later
/// product saves the share of the problems left out.
bool worth_recording(const ProblemIndices& recorded, const ProblemIndices& problems);

}  // namespace hessian
