#include "probe/solver.h"

#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <stdexcept>

#include "config/dtype.h"
#include "hessian/lanczos.h"
#include "hessian/power_iteration.h"
#include "hessian/restricted_operator.h"
#include "hessian/spectra_solver.h"

namespace hessian::experiments {
namespace {

using Result = ExtremalEigenvalues;
constexpr auto numbers_of_result = {&Result::lambda_max,   &Result::lambda_min,       &Result::residual_max,
                                    &Result::residual_min, &Result::lambda_max_upper, &Result::lambda_min_lower,
                                    &Result::asymmetry,    &Result::iterations,       &Result::converged};

/// `count` sequences or problems from `first` on.
struct Range {
  int64_t first;
  int64_t count;
};

OperatorPtr operator_of(const ProbeOptions& options, const MemoryPlan& plan, const ProbeProblem& problem,
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
  return std::make_shared<RestrictedOperator>(op, starts, width);
}

Result solve_together(const ProbeOptions& options, const LanczosOptions& solver_options, const LinearOperator& op) {
  switch (options.method) {
    case Method::power:
      return power_extremes(op, {.tolerance = solver_options.tolerance,
                                 .ends = solver_options.ends,
                                 .max_iterations = solver_options.max_iterations,
                                 .seed = solver_options.seed,
                                 .problem_numbers = solver_options.problem_numbers});
    case Method::spectra:
      return spectra_extremes(op, solver_options);
    default:
      return hessian::lanczos(op, solver_options);
  }
}

/// Copies the numbers of some problems, without the vectors, because the vectors of all chunks may not fit into memory.
Result numbers_of(const Result& all, Range problems) {
  Result numbers;
  for (const auto member : numbers_of_result) {
    numbers.*member = (all.*member).narrow(0, problems.first, problems.count).clone();
  }
  return numbers;
}

Result joined(const std::vector<Result>& chunks) {
  Result whole;
  for (const auto member : numbers_of_result) {
    std::vector<at::Tensor> all;
    for (const Result& chunk : chunks) {
      all.push_back(chunk.*member);
    }
    whole.*member = at::cat(all);
  }
  return whole;
}

}  // namespace

CertificateOptions certificate_of(const ProbeOptions& options, int64_t norms) {
  const double product_error = options.dtype == at::kBFloat16 ? 1e-2 : options.dtype == at::kDouble ? 1e-12 : 1e-5;
  if (options.certify < product_error) {
    throw std::invalid_argument(fmt::format("{} {} is below {}, the relative error of products in {}",
                                            options.certify_option, options.certify, product_error,
                                            dtype_name(options.dtype)));
  }
  return {.certify = options.certify,
          .confidence = options.confidence,
          .joint_problems = norms * options.joint_sets,
          .product_error = product_error};
}

void for_each_chunk(const ProbeOptions& options, const MemoryPlan& plan, const ProbeProblem& problem,
                    const std::vector<int64_t>& positions, const std::function<void(const SequenceChunk&)>& visit) {
  const int64_t sequences = problem.x.size(0);
  for (int64_t first = 0; first < sequences; first += plan.sequences_at_once) {
    SequenceChunk chunk;
    chunk.first = first;
    chunk.count = std::min(plan.sequences_at_once, sequences - first);
    for (std::size_t layer = 0; layer < problem.layers.size(); ++layer) {
      for (int64_t i = 0; i < chunk.count; ++i) {
        chunk.problem_numbers.push_back(problem.first_sequence + first + i);
      }
    }
    chunk.op = operator_of(options, plan, problem, positions, {first, chunk.count});
    visit(chunk);
  }
}

std::vector<Result> solve(const ProbeOptions& options, const MemoryPlan& plan, const ProbeProblem& problem,
                          const std::vector<int64_t>& positions, const CertificateOptions& certificate) {
  const std::size_t layers = problem.layers.size();
  std::vector<std::vector<Result>> chunks(layers);
  for_each_chunk(options, plan, problem, positions, [&](const SequenceChunk& chunk) {
    LanczosOptions solver_options;
    solver_options.ends = options.ends;
    solver_options.tolerance = options.tolerance;
    solver_options.max_iterations = options.max_iterations;
    solver_options.certificate = certificate;
    solver_options.seed = options.seed;
    solver_options.max_basis = plan.max_basis;
    solver_options.verified_at_once = plan.verified_at_once;
    solver_options.problem_numbers = chunk.problem_numbers;
    const Result together = solve_together(options, solver_options, *chunk.op);
    for (std::size_t layer = 0; layer < layers; ++layer) {
      chunks[layer].push_back(numbers_of(together, {static_cast<int64_t>(layer) * chunk.count, chunk.count}));
    }
  });
  std::vector<Result> results;
  for (const auto& of_layer : chunks) {
    results.push_back(joined(of_layer));
  }
  return results;
}

}  // namespace hessian::experiments
