#pragma once

#include <string>

#include "probe/probe.h"

namespace hessian::experiments {

/// Formats the report as a table, a line per site and layer.
std::string format_table(const ProbeReport& report);

/// Formats the report as one JSON object; numbers that are not finite become null.
std::string format_json(const ProbeReport& report);

/// Says why products in this precision are not finite, and what helps.
std::string overflow_of_products(c10::ScalarType dtype);

/// Returns warnings, one line each: estimates that did not converge, failed checks.
std::vector<std::string> warnings_of(const ProbeReport& report);

/// Returns whether no check exceeds check_limit, or the accuracy that the norms claim.
bool checks_passed(const ProbeReport& report);

}  // namespace hessian::experiments
