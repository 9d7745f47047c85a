#pragma once

#include <string>
#include <vector>

#include "figures/figure.h"

namespace hessian::analysis {

/// Formats the numbers of a figure as CSV (RFC 4180). Each point is a row of the curve, x, y and the ends of its band,
/// each cell of a heat map a row of x, y and the value. Vertical lines and marks on the axis are rows without y. The
/// header has the labels of the axes.
std::string csv_of(const Figure& figure);

/// Formats one row of CSV.
std::string csv_row(const std::vector<std::string>& texts);

}  // namespace hessian::analysis
