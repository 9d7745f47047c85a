#pragma once

#include <string>
#include <vector>

#include "content/run_content.h"
#include "output/report.h"

namespace hessian::analysis {

/// Formats a number for a table, a dash for NaN.
std::string text_of(double value);

/// Makes the tables that the run has data for: eigenvalues and traces, densities (a row per group), and both terms of H_xx
/// (a row per map).
std::vector<Table> spectrum_tables(const RunContent& run, const std::string& label);

/// Returns a warning for each group and for the maps whose estimates did not reach their tolerance.
std::vector<std::string> spectrum_warnings(const RunContent& run, const std::string& label);

}  // namespace hessian::analysis
