#pragma once

#include <cstdint>
#include <string>

#include "probe/probe.h"

namespace hessian::experiments {

/// How long a probe takes, from the time that products took when the memory was planned. How many products an
/// eigenproblem needs is not known before it is solved: as many as is usual are assumed, and the most that are allowed
/// give the other end of the range.
struct TimePlan {
  int64_t products = 0;        ///< assumed for each eigenproblem
  int64_t most_products = 0;   ///< allowed
  double product_seconds = 0;  ///< of one product of every part that is solved
  double seconds() const { return static_cast<double>(products) * product_seconds; }
  double most_seconds() const { return static_cast<double>(most_products) * product_seconds; }

  /// Adds a part, given the time of one of its products.
  void add_products(double seconds) { product_seconds += seconds; }
};

/// The plan of no parts yet. What is usual: 40 products for both ends of a spectrum, 20 for the dominant one, as tried
/// models of 20M to 124M parameters took (docs/performance.md); all that are allowed for the power iteration.
TimePlan time_plan(const ProbeOptions& options);

/// "time: about 12 s if 40 products of each part suffice, 60 s with the 202 that are allowed".
std::string describe(const TimePlan& plan);

/// "0.31 s" below ten seconds, and from there as format_seconds().
std::string format_short_seconds(double seconds);

}  // namespace hessian::experiments
