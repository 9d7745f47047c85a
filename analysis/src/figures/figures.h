#pragma once

#include <vector>

#include "content/run_content.h"
#include "figures/figure.h"

namespace hessian::analysis {

/// Makes every figure that the runs have data for. Runs are overlaid in one figure where possible, labelled by the
/// settings that differ between them.
std::vector<Figure> figures_of(const std::vector<RunContent>& runs);

}  // namespace hessian::analysis
