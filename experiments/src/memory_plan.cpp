#include "memory_plan.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <stdexcept>

#include "hessian/memory.h"

namespace experiments {
namespace {

constexpr int64_t smallest_basis = 16;

/// Bytes of the eigensolver's vectors for one sequence; see lanczos() for the count.
int64_t basis_bytes(const ProbeProblem& problem, int64_t max_basis) {
  const at::Tensor& x = problem.x;
  const auto layers = static_cast<int64_t>(problem.layers.size());
  return layers * (x.numel() / x.size(0)) * x.element_size() * (max_basis + 8);
}

/// Bytes that one sequence's operator and a product with it take at their peak.
int64_t operator_bytes(const ProbeProblem& problem, Keep keep) {
  const hessian::MemoryScope scope;
  const auto op = problem.hessians(0, 1, keep);
  op->apply(at::ones({op->blocks(), 1, op->dim()}, op->vector_options()));
  return scope.peak_bytes();
}

/// Chooses among the ways to divide a problem; what was measured is not measured again.
class Planner {
 public:
  Planner(int64_t allowed, int64_t positions, const ProblemOf& problem)
      : allowed_(allowed), positions_(positions), problem_(problem) {}

  /// Bytes of one sequence solved so, or nothing if they are more than is allowed.
  std::optional<int64_t> fitting_bytes(const MemoryPlan& plan) {
    measure(plan.layers_at_once, plan.keep, allowed_);
    const int64_t bytes = operator_bytes_ + basis_bytes(*measured_, plan.max_basis);
    return bytes <= allowed_ ? std::optional(bytes) : std::nullopt;
  }

  /// Bytes of one sequence solved so, though it does not fit; at most what is free is taken to find out.
  int64_t needed_bytes(const MemoryPlan& plan, std::optional<int64_t> free) {
    measured_.reset();
    measure(plan.layers_at_once, plan.keep, free.value_or(std::numeric_limits<int64_t>::max()));
    return operator_bytes_ + basis_bytes(*measured_, plan.max_basis);
  }

 private:
  /// A quarter of a sequence takes at least a sixteenth of what a whole one does, where attention outweighs all else,
  /// and at most a quarter: it shows whether a whole one may be tried within the limit.
  void measure(int64_t layers, Keep keep, int64_t limit) {
    if (measured_ && layers == static_cast<int64_t>(measured_->layers.size()) && keep == keep_) {
      return;
    }
    keep_ = keep;
    measured_ = problem_(layers, positions_);
    const int64_t quarter = positions_ / 4;
    if (quarter > 0) {
      const int64_t quarter_bytes = operator_bytes(problem_(layers, quarter), keep);
      if (quarter_bytes > limit / 4) {
        operator_bytes_ = 16 * quarter_bytes;
        return;
      }
    }
    operator_bytes_ = operator_bytes(*measured_, keep);
  }

  int64_t allowed_;
  int64_t positions_;
  const ProblemOf& problem_;
  std::optional<ProbeProblem> measured_;
  Keep keep_ = Keep::everything;
  int64_t operator_bytes_ = 0;
};

/// The ways to divide a problem, the quickest first.
std::vector<MemoryPlan> candidates(const ProbeOptions& options, int64_t layers) {
  const bool tape = options.engine.value() == Engine::tape;
  std::vector<MemoryPlan> plans;
  // Spectra takes one block after the other: layers gain nothing from each other.
  const int64_t most = tape && options.method != Method::spectra ? layers : 1;
  MemoryPlan plan;
  for (plan.layers_at_once = most; plan.layers_at_once > 1; plan.layers_at_once = (plan.layers_at_once + 1) / 2) {
    plans.push_back(plan);
  }
  for (const Keep keep : {Keep::everything, Keep::checkpoints}) {
    if (keep == Keep::everything || tape) {
      plan.keep = keep;
      for (plan.max_basis = MemoryPlan().max_basis; plan.max_basis >= smallest_basis; plan.max_basis /= 2) {
        plans.push_back(plan);
      }
    }
  }
  return plans;
}

}  // namespace

MemoryPlan plan_memory(const ProbeOptions& options, at::Device device, int64_t layers, int64_t sequences,
                       int64_t positions, const ProblemOf& problem) {
  const std::optional<int64_t> free = hessian::available_memory_bytes(device);
  std::optional<int64_t> allowed = options.memory_bytes;
  if (!allowed) {
    allowed = free;
    if (!allowed) {
      MemoryPlan plan = candidates(options, layers).front();
      plan.sequences_at_once = sequences;
      return plan;
    }
    allowed = *allowed / options.processes_sharing_memory / 4 * 3;
  }
  Planner planner(*allowed, positions, problem);
  std::vector<MemoryPlan> ways = candidates(options, layers);
  for (MemoryPlan& plan : ways) {
    if (const auto bytes = planner.fitting_bytes(plan)) {
      plan.sequences_at_once = std::clamp<int64_t>(*allowed / *bytes, 1, sequences);
      plan.predicted_bytes = plan.sequences_at_once * *bytes;
      plan.allowed_bytes = allowed;
      return plan;
    }
  }
  const int64_t needed = planner.needed_bytes(ways.back(), free);
  std::string enough = hessian::format_bytes(needed + needed / 10);
  std::erase(enough, ' ');  // one word of a command line
  throw std::runtime_error("one sequence of " + std::to_string(positions) + " tokens needs " +
                           hessian::format_bytes(needed) + ", " + hessian::format_bytes(*allowed) +
                           " are allowed; give --memory " + enough + " or a smaller --seq-len");
}

std::string describe(const MemoryPlan& plan, models::Site site) {
  const auto count = [](int64_t number, const char* noun) {
    return fmt::format("{} {}{}", number, noun, number == 1 ? "" : "s");
  };
  std::string text = fmt::format("{}: {} and {} at once, ", models::to_string(site),
                                 count(plan.layers_at_once, "layer"), count(plan.sequences_at_once, "sequence"));
  text += plan.keep == Keep::everything ? "everything kept" : "blocks computed again for each product";
  if (plan.max_basis != MemoryPlan().max_basis) {
    text += fmt::format(", {} basis vectors", plan.max_basis);
  }
  if (plan.predicted_bytes) {
    text += fmt::format("; {} planned of {} allowed", hessian::format_bytes(*plan.predicted_bytes),
                        hessian::format_bytes(*plan.allowed_bytes));
  }
  return text;
}

}  // namespace experiments
