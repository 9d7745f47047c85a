#include "probe/solver.h"

#include <algorithm>
#include <memory>

#include "hessian/lanczos.h"
#include "hessian/power_iteration.h"
#include "hessian/restricted_operator.h"
#include "hessian/spectra_solver.h"

namespace hessian::experiments {
namespace {

using Result = hessian::ExtremalEigenvalues;
constexpr auto numbers_of_result = {&Result::lambda_max,   &Result::lambda_min, &Result::residual_max,
                                    &Result::residual_min, &Result::iterations, &Result::converged};

/// Some sequences from `first` on.
struct Range {
  int64_t first;
  int64_t count;
};

hessian::OperatorPtr operator_of(const ProbeOptions& options, const MemoryPlan& plan, const ProbeProblem& problem,
                                 const std::vector<int64_t>& positions, Range sequences) {
  auto op = problem.hessians(sequences.first, sequences.count, plan.keep);
  if (options.unit == Unit::sequence) {
    return op;
  }
  const int64_t width = problem.x.size(-1);
  std::vector<int64_t> starts;
  for (std::size_t layer = 0; layer < problem.layers.size(); ++layer) {
    for (int64_t i = sequences.first; i < sequences.first + sequences.count; ++i) {
      starts.push_back(positions[static_cast<std::size_t>(i)] * width);
    }
  }
  return std::make_shared<hessian::RestrictedOperator>(op, starts, width);
}

Result solve_together(const ProbeOptions& options, const hessian::LanczosOptions& lanczos_options,
                      const hessian::LinearOperator& op) {
  switch (options.method) {
    case Method::power:
      return hessian::power_extremes(op, {.tolerance = lanczos_options.tolerance,
                                          .ends = lanczos_options.ends,
                                          .max_iterations = lanczos_options.max_iterations,
                                          .seed = lanczos_options.seed,
                                          .problem_numbers = lanczos_options.problem_numbers});
    case Method::spectra:
      return hessian::spectra_extremes(op, lanczos_options);
    default:
      return hessian::lanczos(op, lanczos_options);
  }
}

/// The numbers of some blocks in a row; the vectors of all parts would not fit where parts were needed.
Result numbers_of(const Result& all, Range blocks) {
  Result part;
  for (const auto member : numbers_of_result) {
    part.*member = (all.*member).narrow(0, blocks.first, blocks.count).clone();
  }
  return part;
}

Result joined(const std::vector<Result>& parts) {
  Result whole;
  for (const auto member : numbers_of_result) {
    std::vector<at::Tensor> all;
    for (const Result& part : parts) {
      all.push_back(part.*member);
    }
    whole.*member = at::cat(all);
  }
  return whole;
}

}  // namespace

void for_each_part(const ProbeOptions& options, const MemoryPlan& plan, const ProbeProblem& problem,
                   const std::vector<int64_t>& positions, const std::function<void(const ProblemPart&)>& visit) {
  const int64_t sequences = problem.x.size(0);
  for (int64_t first = 0; first < sequences; first += plan.sequences_at_once) {
    ProblemPart part;
    part.first = first;
    part.count = std::min(plan.sequences_at_once, sequences - first);
    for (std::size_t layer = 0; layer < problem.layers.size(); ++layer) {
      for (int64_t i = 0; i < part.count; ++i) {
        part.problem_numbers.push_back(problem.first_sequence + first + i);
      }
    }
    part.op = operator_of(options, plan, problem, positions, {first, part.count});
    visit(part);
  }
}

std::vector<Result> solve(const ProbeOptions& options, const MemoryPlan& plan, const ProbeProblem& problem,
                          const std::vector<int64_t>& positions) {
  const std::size_t layers = problem.layers.size();
  std::vector<std::vector<Result>> parts(layers);
  for_each_part(options, plan, problem, positions, [&](const ProblemPart& part) {
    hessian::LanczosOptions lanczos_options;
    lanczos_options.ends = options.ends;
    lanczos_options.tolerance = options.tolerance;
    lanczos_options.max_iterations = options.max_iterations;
    lanczos_options.seed = options.seed;
    lanczos_options.max_basis = plan.max_basis;
    lanczos_options.problem_numbers = part.problem_numbers;
    const Result together = solve_together(options, lanczos_options, *part.op);
    for (std::size_t layer = 0; layer < layers; ++layer) {
      parts[layer].push_back(numbers_of(together, {static_cast<int64_t>(layer) * part.count, part.count}));
    }
  });
  std::vector<Result> results;
  for (const auto& of_layer : parts) {
    results.push_back(joined(of_layer));
  }
  return results;
}

}  // namespace hessian::experiments
