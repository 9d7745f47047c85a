#pragma once

#include <vector>

#include "figures/figure.h"
#include "content/run_content.h"

namespace analysis {

/// Every figure that some runs allow, several runs in one where they can be laid over each other. Labels are made of
/// what differs between their configurations.
std::vector<Figure> figures_of(const std::vector<RunContent>& runs);

}  // namespace analysis
