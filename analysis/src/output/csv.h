#pragma once

#include <string>
#include <vector>

#include "figures/figure.h"

namespace hessian::analysis {

/// A figure's numbers as CSV (RFC 4180), a row for each point: the curve, x, y and the ends of its band; of a heat map
/// x, y and the value. Lines across the figure and strokes on its axis are rows without a y. The header has the labels
/// of the axes.
std::string csv_of(const Figure& figure);

/// One row of CSV.
std::string csv_row(const std::vector<std::string>& texts);

}  // namespace hessian::analysis
