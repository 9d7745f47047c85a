#pragma once

#include <string>
#include <vector>

#include "content/run_content.h"
#include "output/report.h"

namespace hessian::analysis {

/// Returns a short description of a run's model: `llama2-0.9M-simplegpt, dim 128, 4 layers, vocabulary 256`; empty if the
/// file has none. Files without a label give family and placement.
std::string model_text(const RunContent& run);

/// Makes a report on runs: findings, the given figures, tables, command lines and warnings.
Report report_on(const std::vector<RunContent>& runs, const std::vector<Figure>& figures,
                 const std::string& command_line);

}  // namespace hessian::analysis
