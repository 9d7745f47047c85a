#pragma once

#include <string>
#include <vector>

#include "content/run_content.h"
#include "output/report.h"

namespace hessian::analysis {

/// A number in a table, a dash where there is none.
std::string text_of(double value);

/// Eigenvalues, traces and densities of a run, a row for each group, and both terms of H_xx, a row for each map: those
/// tables of them that the run has something for.
std::vector<Table> spectrum_tables(const RunContent& run, const std::string& label);

/// Eigenpairs and maps that did not reach their tolerance.
std::vector<std::string> spectrum_warnings(const RunContent& run, const std::string& label);

}  // namespace hessian::analysis
