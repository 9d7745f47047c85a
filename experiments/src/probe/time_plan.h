#pragma once

#include <cstdint>
#include <string>

#include "probe/probe.h"

namespace hessian::experiments {

/// Estimates how long a probe takes, from the duration of products that were measured to plan the memory. How many
/// products an eigenproblem needs is unknown before it is solved: the estimate is for a typical number, with the
/// maximum as an upper bound.
struct TimePlan {
  int64_t products = 0;        ///< typical number per eigenproblem
  int64_t max_products = 0;    ///< maximum number per eigenproblem
  double product_seconds = 0;  ///< one product of every group of layers and sequences
  double seconds() const { return static_cast<double>(products) * product_seconds; }
  double max_seconds() const { return static_cast<double>(max_products) * product_seconds; }

  /// Adds a group, given the duration of one of its products.
  void add_products(double seconds) { product_seconds += seconds; }
};

/// Returns a plan without groups. Typical numbers: 40 products for both ends of a spectrum and 20 for the dominant one,
/// as measured for models of 20M to 124M parameters (docs/performance.md); the maximum for the power iteration.
TimePlan time_plan(const ProbeOptions& options);

/// Describes a plan: "time: about 12 s with 40 products per eigenproblem, 60 s with the maximum of 202".
std::string describe(const TimePlan& plan);

/// Formats a duration: "0.31 s" below ten seconds, otherwise as format_seconds().
std::string format_short_seconds(double seconds);

}  // namespace hessian::experiments
