#pragma once

#include <vector>

#include "analysis/figure.h"

namespace analysis {

/// The middle, smallest and largest of the finite values; NaN where there is none.
struct Summary {
  double median;
  double low;
  double high;
};

Summary summarise(std::vector<double> values);

/// A point of a curve with its band: the median, and the range.
void add_point(Curve& curve, double x, const Summary& summary);

}  // namespace analysis
