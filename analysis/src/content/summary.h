#pragma once

#include <vector>

#include "content/spectrum_content.h"

namespace hessian::analysis {

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

}  // namespace hessian::analysis
