#include "linalg/problem_places.h"

#include <algorithm>

namespace hessian {

ProblemPlaces places_among(const ProblemIndices& recorded, const ProblemIndices& problems) {
  ProblemPlaces found;
  for (const int64_t problem : problems) {
    const auto place = std::find(recorded.begin(), recorded.end(), problem);
    found.complete = found.complete && place != recorded.end();
    found.places.push_back(place - recorded.begin());
  }
  return found;
}

bool worth_recording(const ProblemIndices& recorded, const ProblemIndices& problems) {
  return !places_among(recorded, problems).complete || problems.size() * 4 <= recorded.size() * 3;
}

}  // namespace hessian
