#pragma once

#include <string>
#include <vector>

#include "content/run_content.h"
#include "output/report.h"

namespace hessian::analysis {

/// What a run is, in a few words: `llama2 simplegpt, dim 256, 4 blocks, vocabulary 256`. Empty where its file does not
/// say.
std::string model_text(const RunContent& run);

/// A report on some runs: what was run, their numbers in tables, the figures given, and what to be wary of.
Report report_on(const std::vector<RunContent>& runs, const std::vector<Figure>& figures,
                 const std::string& command_line);

}  // namespace hessian::analysis
