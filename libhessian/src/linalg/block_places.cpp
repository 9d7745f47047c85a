#include "linalg/block_places.h"

#include <algorithm>

namespace hessian {

BlockPlaces places_among(const BlockIndices& recorded, const BlockIndices& blocks) {
  BlockPlaces found;
  for (const int64_t block : blocks) {
    const auto place = std::find(recorded.begin(), recorded.end(), block);
    found.complete = found.complete && place != recorded.end();
    found.places.push_back(place - recorded.begin());
  }
  return found;
}

bool worth_recording(const BlockIndices& recorded, const BlockIndices& blocks) {
  return !places_among(recorded, blocks).complete || blocks.size() * 4 <= recorded.size() * 3;
}

}  // namespace hessian
