#pragma once

#include <algorithm>
#include <cstddef>
#include <numeric>
#include <vector>

namespace hessian::experiments {

/// Returns the middle value, or the mean of the two middle ones. Precondition: at least one value.
inline double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const std::size_t middle = values.size() / 2;
  return values.size() % 2 == 1 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
}

/// Returns the arithmetic mean. Precondition: at least one value.
inline double mean(const std::vector<double>& values) {
  return std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
}

}  // namespace hessian::experiments
