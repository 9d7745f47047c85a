#pragma once

#include <vector>

#include "figures/figure.h"
#include "content/spectrum_content.h"

namespace analysis {

/// The middle, smallest and largest of the finite values; NaN where there is none.
struct Summary {
  double median;
  double low;
  double high;
};

Summary summarise(std::vector<double> values);

struct MeanEstimate {
  double value;
  double error;
};

/// The mean of independent estimates, with its standard error; NaN where there is none.
MeanEstimate mean_of(const SpectrumEstimate& estimate);

/// A point of a curve with its band: the median, and the range.
void add_point(Curve& curve, double x, const Summary& summary);

}  // namespace analysis
