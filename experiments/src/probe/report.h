#pragma once

#include <string>

#include "probe/probe.h"

namespace hessian::experiments {

/// The report as a table for people, a line for each site and layer.
std::string format_table(const ProbeReport& report);

/// The report as one JSON object; numbers that are not finite become null.
std::string format_json(const ProbeReport& report);

/// What a reader of the report must not miss, a line each: estimates that did not converge, failed checks.
std::vector<std::string> warnings_of(const ProbeReport& report);

/// Whether every check that was made stayed within check_limit.
bool checks_passed(const ProbeReport& report);

}  // namespace hessian::experiments
