#pragma once

#include <vector>

namespace analysis {

/// The middle, smallest and largest of the finite values; NaN where there is none.
struct Summary {
  double median;
  double low;
  double high;
};

Summary summarise(std::vector<double> values);

}  // namespace analysis
