#pragma once

#include <vector>

#include "content/run_content.h"
#include "figures/figure.h"

namespace hessian::analysis {

/// Every figure that some runs allow, several runs in one where they can be laid over each other. Labels are made of
/// what differs between their configurations.
std::vector<Figure> figures_of(const std::vector<RunContent>& runs);

}  // namespace hessian::analysis
