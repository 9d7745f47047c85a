#include "probe_solver.h"

#include <algorithm>
#include <memory>
#include <stdexcept>

#include "hessian/lanczos.h"
#include "hessian/memory.h"
#include "hessian/power_iteration.h"
#include "hessian/restricted_operator.h"
#include "hessian/spectra_solver.h"

namespace experiments {
namespace {

constexpr int64_t smallest_basis = 16;

/// Bytes of the eigensolver's vectors for one sequence; see lanczos() for the count.
int64_t basis_bytes(const at::Tensor& x, int64_t max_basis) {
  return x.numel() / x.size(0) * x.element_size() * (max_basis + 5);
}

hessian::OperatorPtr group_operator(const ProbeOptions& options, const ProbeProblem& problem,
                                    const std::vector<int64_t>& positions, int64_t first, int64_t count) {
  auto op = problem.hessians(first, count);
  if (options.unit == Unit::sequence) {
    return op;
  }
  const int64_t width = problem.x.size(-1);
  std::vector<int64_t> starts;
  for (int64_t i = first; i < first + count; ++i) {
    starts.push_back(positions[static_cast<std::size_t>(i)] * width);
  }
  return std::make_shared<hessian::RestrictedOperator>(op, starts, width);
}

/// Bytes that one sequence's operator and a product with it take at their peak.
int64_t operator_bytes(const ProbeProblem& problem) {
  const hessian::MemoryScope scope;
  const auto op = problem.hessians(0, 1);
  op->apply(at::ones({1, 1, op->dim()}, op->vector_options()));
  return scope.peak_bytes();
}

hessian::ExtremalEigenvalues solve_group(const ProbeOptions& options, const hessian::LanczosOptions& lanczos_options,
                                         const hessian::LinearOperator& op) {
  switch (options.method) {
    case Method::power:
      return hessian::power_extremes(op, lanczos_options);
    case Method::spectra:
      return hessian::spectra_extremes(op, lanczos_options);
    default:
      return hessian::lanczos(op, lanczos_options);
  }
}

}  // namespace

MemoryPlan plan_memory(const ProbeOptions& options, at::Device device, const ProbeProblem& problem) {
  const at::Tensor& x = problem.x;
  MemoryPlan plan;
  std::optional<int64_t> allowed = options.memory_bytes;
  if (!allowed) {
    allowed = hessian::available_memory_bytes(device);
    if (!allowed) {
      plan.sequences_at_once = x.size(0);
      return plan;
    }
    allowed = *allowed / 4 * 3;
  }
  const int64_t graph_bytes = operator_bytes(problem);
  while (plan.max_basis > smallest_basis && graph_bytes + basis_bytes(x, plan.max_basis) > *allowed) {
    plan.max_basis /= 2;
  }
  const int64_t sequence_bytes = graph_bytes + basis_bytes(x, plan.max_basis);
  if (sequence_bytes > *allowed) {
    std::string enough = hessian::format_bytes(sequence_bytes + sequence_bytes / 10);
    std::erase(enough, ' ');  // one word of a command line
    throw std::runtime_error("one sequence of " + std::to_string(x.size(1)) + " tokens needs " +
                             hessian::format_bytes(sequence_bytes) + ", " + hessian::format_bytes(*allowed) +
                             " are allowed; give --memory " + enough + " or a smaller --seq-len");
  }
  plan.sequences_at_once = std::clamp<int64_t>(*allowed / sequence_bytes, 1, x.size(0));
  return plan;
}

hessian::ExtremalEigenvalues solve(const ProbeOptions& options, const MemoryPlan& plan, const ProbeProblem& problem,
                                   const std::vector<int64_t>& positions) {
  const int64_t sequences = problem.x.size(0);
  std::vector<hessian::ExtremalEigenvalues> parts;
  for (int64_t first = 0; first < sequences; first += plan.sequences_at_once) {
    const int64_t count = std::min(plan.sequences_at_once, sequences - first);
    hessian::LanczosOptions lanczos_options;
    lanczos_options.tolerance = options.tolerance;
    lanczos_options.max_iterations = options.max_iterations;
    lanczos_options.seed = options.seed;
    lanczos_options.first_block = first;
    lanczos_options.max_basis = plan.max_basis;
    const auto op = group_operator(options, problem, positions, first, count);
    parts.push_back(solve_group(options, lanczos_options, *op));
    // Only the numbers are kept: the vectors of all groups would not fit where the groups were needed.
    parts.back().vector_max = at::Tensor();
    parts.back().vector_min = at::Tensor();
  }
  const auto join = [&parts](at::Tensor hessian::ExtremalEigenvalues::*member) {
    std::vector<at::Tensor> all;
    for (const auto& part : parts) {
      all.push_back(part.*member);
    }
    return at::cat(all);
  };
  using Result = hessian::ExtremalEigenvalues;
  Result result;
  for (const auto member : {&Result::lambda_max, &Result::lambda_min, &Result::residual_max, &Result::residual_min,
                            &Result::iterations, &Result::converged}) {
    result.*member = join(member);
  }
  return result;
}

}  // namespace experiments
