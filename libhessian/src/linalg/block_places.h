#pragma once

#include <cstdint>
#include <vector>

#include "hessian/linear_operator.h"

namespace hessian {

/// Where each of the blocks stands among those that something was recorded for.
struct BlockPlaces {
  std::vector<int64_t> places;
  bool complete = true;  ///< whether all of them are there
};

BlockPlaces places_among(const BlockIndices& recorded, const BlockIndices& blocks);

/// Whether to record anew for these blocks alone: recording costs about as much as half a product, and every later
/// product saves the share of the blocks left out.
bool worth_recording(const BlockIndices& recorded, const BlockIndices& blocks);

}  // namespace hessian
