#include "probe/time_plan.h"

#include <fmt/format.h>

#include <algorithm>

#include "program/progress.h"

namespace hessian::experiments {

TimePlan time_plan(const ProbeOptions& options) {
  constexpr int64_t usual_both = 40;
  constexpr int64_t usual_dominant = 20;
  constexpr int64_t products_beside = 2;  // of the residual norms
  TimePlan plan;
  plan.most_products = options.max_iterations + products_beside;
  plan.products = options.method == Method::power
                      ? plan.most_products
                      : std::min(plan.most_products, options.ends == hessian::Ends::both ? usual_both : usual_dominant);
  return plan;
}

std::string describe(const TimePlan& plan) {
  return fmt::format("time: about {} if {} products of each part suffice, {} with the {} that are allowed",
                     format_short_seconds(plan.seconds()), plan.products, format_short_seconds(plan.most_seconds()),
                     plan.most_products);
}

std::string format_short_seconds(double seconds) {
  return seconds < 10 ? fmt::format("{:.2f} s", seconds) : format_seconds(seconds);
}

}  // namespace hessian::experiments
