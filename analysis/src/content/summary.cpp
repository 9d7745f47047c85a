#include "content/summary.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "program/statistics.h"

namespace hessian::analysis {

Summary summarise(std::vector<double> values) {
  values.erase(std::remove_if(values.begin(), values.end(), [](double value) { return !std::isfinite(value); }),
               values.end());
  if (values.empty()) {
    const double unknown = std::nan("");
    return {unknown, unknown, unknown};
  }
  const auto [low, high] = std::minmax_element(values.begin(), values.end());
  const double smallest = *low;
  const double largest = *high;
  return {experiments::median(std::move(values)), smallest, largest};
}

MeanEstimate mean_of(const SpectrumEstimate& estimate) {
  double count = 0;
  double sum = 0;
  double variance = 0;
  for (std::size_t i = 0; i < estimate.value.size(); ++i) {
    if (std::isfinite(estimate.value[i])) {
      count += 1;
      sum += estimate.value[i];
      variance += estimate.error[i] * estimate.error[i];
    }
  }
  if (count == 0) {
    return {std::nan(""), std::nan("")};
  }
  return {sum / count, std::sqrt(variance) / count};
}

}  // namespace hessian::analysis
