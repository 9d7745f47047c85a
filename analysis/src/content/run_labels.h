#pragma once

#include <string>
#include <vector>

#include "content/run_content.h"

namespace hessian::analysis {

/// Returns a name for each run, such as `llama2-0.9M-simplegpt, lr 0.01`, made of the settings that differ between the
/// configurations. Runs whose configurations do not differ or cannot be parsed are named by their files.
std::vector<std::string> run_labels(const std::vector<RunContent>& runs);

/// Sorts runs by program and then by the values that differ between their configurations, so that sequential colours
/// have a meaning.
void sort_by_difference(std::vector<RunContent>& runs);

}  // namespace hessian::analysis
