#pragma once

#include <string>
#include <vector>

#include "content/run_content.h"

namespace hessian::analysis {

/// Returns what the runs show, in plain sentences for the head of a report, one paragraph per subject:
///   - each sweep's largest stable learning rates and their ratios to PreNorm's;
///   - where ||H_xx|| is largest before and after training, and the order of the runs by that maximum;
///   - how far activation scales moved during training;
///   - whether all runs share a seed.
///
/// A subject without data has no paragraph. Numbers have three significant digits; equal ones count as a tie. Estimates
/// that did not converge, unfinished runs and single seeds are named as such.
/// \param labels  one per run, as run_labels()
std::vector<std::string> findings_of(const std::vector<RunContent>& runs, const std::vector<std::string>& labels);

}  // namespace hessian::analysis
