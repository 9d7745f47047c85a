#include "probe/memory_plan.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <limits>
#include <stdexcept>

#include "hessian/memory.h"

namespace hessian::experiments {
namespace {

constexpr int64_t smallest_basis = 16;

/// Bytes of the eigensolver's vectors for one sequence; see lanczos() for the count.
int64_t basis_bytes(const ProbeProblem& problem, int64_t max_basis) {
  const at::Tensor& x = problem.x;
  const auto layers = static_cast<int64_t>(problem.layers.size());
  return layers * (x.numel() / x.size(0)) * x.element_size() * (max_basis + 8);
}

/// What the operator of some sequences and a product with it take.
struct Cost {
  int64_t bytes = 0;  ///< at their peak
  double product_seconds = 0;
};

Cost measure_cost(const ProbeProblem& problem, int64_t sequences, Keep keep) {
  const hessian::MemoryScope scope;
  const auto op = problem.hessians(0, sequences, keep);
  const at::Tensor vectors = at::ones({op->problems(), 1, op->dim()}, op->vector_options());
  const auto start = std::chrono::steady_clock::now();
  // Reading a number waits for a device to be done.
  op->apply(vectors).sum().item<double>();
  return {scope.peak_bytes(), std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count()};
}

/// Chooses among the ways to divide a problem; what was measured is not measured again.
class Planner {
 public:
  /// \param allowed  bytes, beside what is held throughout
  Planner(int64_t allowed, const HeldMemory& held, int64_t positions, const ProblemOf& problem)
      : allowed_(allowed), held_(held), positions_(positions), problem_(problem) {}

  /// Bytes of one sequence solved so, or nothing if they are more than is allowed.
  std::optional<int64_t> fitting_bytes(const MemoryPlan& plan) {
    measure(plan.layers_at_once, plan.keep, allowed_);
    const int64_t bytes = cost_.bytes + basis_bytes(*measured_, plan.max_basis);
    return bytes <= allowed_ ? std::optional(bytes) : std::nullopt;
  }

  /// Fills in how many sequences go together, given the bytes of one; and what they take.
  void divide(MemoryPlan& plan, int64_t bytes_of_one, int64_t sequences) {
    if (!held_.streamed) {
      plan.sequences_at_once = std::clamp<int64_t>(allowed_ / bytes_of_one, 1, sequences);
      plan.predicted_bytes = plan.sequences_at_once * bytes_of_one + held_.bytes;
      plan.product_seconds = cost_.product_seconds * static_cast<double>(plan.sequences_at_once);
      return;
    }
    const int64_t basis = basis_bytes(*measured_, plan.max_basis);
    const int64_t passing = std::min(held_.streamed_bytes, cost_.bytes);
    const int64_t bytes_of_more = std::max(basis, bytes_of_one - passing);
    int64_t count = std::clamp<int64_t>((allowed_ - passing) / bytes_of_more, 1, sequences);
    Cost cost = cost_;
    // What passes by at the peak of one sequence may be less than at that of several: this is measured, not assumed.
    while (count > 1 && (cost = measure_cost(*measured_, count, plan.keep)).bytes + count * basis > allowed_) {
      count = count * 3 / 4;
      cost = cost_;
    }
    plan.sequences_at_once = count;
    plan.predicted_bytes = cost.bytes + count * basis + held_.bytes;
    plan.product_seconds = cost.product_seconds;
  }

  /// Bytes of one sequence solved so, though it does not fit; at most what is free is taken to find out.
  int64_t needed_bytes(const MemoryPlan& plan, std::optional<int64_t> free) {
    measured_.reset();
    measure(plan.layers_at_once, plan.keep, free.value_or(std::numeric_limits<int64_t>::max()));
    return cost_.bytes + basis_bytes(*measured_, plan.max_basis) + held_.bytes;
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
      const int64_t passing = held_.streamed_bytes;
      const int64_t quarter_bytes =
          std::max<int64_t>(0, measure_cost(problem_(layers, quarter), 1, keep).bytes - passing);
      if (quarter_bytes > (limit - passing) / 4) {
        cost_ = {16 * quarter_bytes + passing, 0};
        return;
      }
    }
    cost_ = measure_cost(*measured_, 1, keep);
  }

  int64_t allowed_;
  const HeldMemory& held_;
  int64_t positions_;
  const ProblemOf& problem_;
  std::optional<ProbeProblem> measured_;
  Keep keep_ = Keep::everything;
  Cost cost_;  // of one sequence
};

/// The ways to divide a problem, the quickest first.
std::vector<MemoryPlan> candidates(const ProbeOptions& options, int64_t layers, bool streamed) {
  const bool tape = options.engine.value() == Engine::tape;
  std::vector<MemoryPlan> plans;
  // Spectra takes one block after the other: layers gain nothing from each other.
  const int64_t most = tape && options.method != Method::spectra ? layers : 1;
  MemoryPlan plan;
  plan.streamed = streamed;
  plan.keep = streamed ? Keep::checkpoints : Keep::everything;
  for (plan.layers_at_once = most; plan.layers_at_once > 1; plan.layers_at_once = (plan.layers_at_once + 1) / 2) {
    plans.push_back(plan);
  }
  for (const Keep keep : {Keep::everything, Keep::checkpoints}) {
    if (streamed ? keep == Keep::checkpoints : keep == Keep::everything || tape) {
      plan.keep = keep;
      for (plan.max_basis = MemoryPlan().max_basis; plan.max_basis >= smallest_basis; plan.max_basis /= 2) {
        plans.push_back(plan);
      }
    }
  }
  return plans;
}

}  // namespace

std::optional<int64_t> allowed_bytes(const ProbeOptions& options, at::Device device) {
  if (options.memory_bytes) {
    return options.memory_bytes;
  }
  const std::optional<int64_t> free = hessian::available_memory_bytes(device);
  return free ? std::optional(*free / options.processes_sharing_memory / 4 * 3) : std::nullopt;
}

MemoryPlan plan_memory(const ProbeOptions& options, at::Device device, int64_t layers, int64_t sequences,
                       int64_t positions, const ProblemOf& problem, const HeldMemory& held) {
  std::vector<MemoryPlan> ways = candidates(options, layers, held.streamed);
  std::optional<int64_t> allowed = allowed_bytes(options, device);
  if (!allowed) {
    MemoryPlan plan = ways.front();
    plan.sequences_at_once = sequences;
    return plan;
  }
  if (!options.memory_bytes) {
    *allowed += held.bytes;  // which is no longer free
  }
  Planner planner(*allowed - held.bytes, held, positions, problem);
  for (MemoryPlan& plan : ways) {
    if (const auto bytes = planner.fitting_bytes(plan)) {
      planner.divide(plan, *bytes, sequences);
      plan.allowed_bytes = allowed;
      return plan;
    }
  }
  const int64_t needed = planner.needed_bytes(ways.back(), hessian::available_memory_bytes(device));
  std::string enough = hessian::format_bytes(needed + needed / 10);
  std::erase(enough, ' ');  // one word of a command line
  throw NotEnoughMemory("one sequence of " + std::to_string(positions) + " tokens needs " +
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
  text += plan.streamed ? ", weights streamed" : "";
  if (plan.max_basis != MemoryPlan().max_basis) {
    text += fmt::format(", {} basis vectors", plan.max_basis);
  }
  if (plan.predicted_bytes) {
    text += fmt::format("; {} planned of {} allowed", hessian::format_bytes(*plan.predicted_bytes),
                        hessian::format_bytes(*plan.allowed_bytes));
  }
  return text;
}

}  // namespace hessian::experiments
