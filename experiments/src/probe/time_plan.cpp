#include "probe/time_plan.h"

#include <fmt/format.h>

#include <algorithm>

#include "program/progress.h"

namespace hessian::experiments {

TimePlan time_plan(const ProbeOptions& options) {
  constexpr int64_t typical_both = 40;
  constexpr int64_t typical_dominant = 18;
  const int64_t residual_products = options.ends == Ends::both ? 2 : 1;
  TimePlan plan;
  plan.max_products = options.max_iterations + residual_products;
  plan.products = options.method == Method::power
                      ? plan.max_products
                      : std::min(plan.max_products, options.ends == Ends::both ? typical_both : typical_dominant);
  return plan;
}

std::string describe(const TimePlan& plan) {
  return fmt::format("time: about {} with {} products per eigenproblem, {} with the maximum of {}",
                     format_short_seconds(plan.seconds()), plan.products, format_short_seconds(plan.max_seconds()),
                     plan.max_products);
}

std::string format_short_seconds(double seconds) {
  return seconds < 10 ? fmt::format("{:.2f} s", seconds) : format_seconds(seconds);
}

}  // namespace hessian::experiments
