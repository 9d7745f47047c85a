#pragma once

#include <vector>

#include "content/spectrum_content.h"

namespace hessian::analysis {

/// Median, smallest and largest of some values.
struct Summary {
  double median;
  double low;
  double high;
};

/// Summarises the finite values; NaN if there is none.
Summary summarise(std::vector<double> values);

/// A mean with its standard error.
struct MeanEstimate {
  double value;
  double error;
};

/// Returns the mean of independent estimates; NaN if there is none.
MeanEstimate mean_of(const SpectrumEstimate& estimate);

}  // namespace hessian::analysis
