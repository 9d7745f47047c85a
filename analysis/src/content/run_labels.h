#pragma once

#include <string>
#include <vector>

#include "content/run_content.h"

namespace hessian::analysis {

/// A name for each of several runs, made of what differs between their configurations: `llama2-20M-simplegpt, lr 0.01`.
/// Runs that do not differ so, or whose configuration cannot be read, are named by their files.
std::vector<std::string> run_labels(const std::vector<RunContent>& runs);

/// Brings runs into the order of what differs between their configurations, programs one after the other, so that
/// colours in an order mean something.
void sort_by_difference(std::vector<RunContent>& runs);

}  // namespace hessian::analysis
