#include "content/summary.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "program/statistics.h"

namespace analysis {

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
  const auto count = static_cast<double>(estimate.value.size());
  double sum = 0;
  double variance = 0;
  for (std::size_t i = 0; i < estimate.value.size(); ++i) {
    sum += estimate.value[i];
    variance += estimate.error[i] * estimate.error[i];
  }
  return {sum / count, std::sqrt(variance) / count};
}

void add_point(Curve& curve, double x, const Summary& summary) {
  curve.x.push_back(x);
  curve.y.push_back(summary.median);
  curve.low.push_back(summary.low);
  curve.high.push_back(summary.high);
}

}  // namespace analysis
