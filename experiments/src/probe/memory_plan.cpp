#include "probe/memory_plan.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <limits>
#include <stdexcept>

#include "config/device_option.h"
#include "hessian/memory.h"
#include "program/seconds_since.h"

namespace hessian::experiments {
namespace {

constexpr int64_t min_basis = 16;

/// Returns the bytes of some vectors of one sequence.
int64_t vector_bytes(const ProbeProblem& problem, int64_t count) {
  const at::Tensor& x = problem.x;
  const auto layers = static_cast<int64_t>(problem.layers.size());
  return layers * (x.numel() / x.size(0)) * x.element_size() * count;
}

/// Returns the bytes of the eigensolver's vectors for one sequence.
int64_t basis_bytes(const ProbeProblem& problem, int64_t max_basis) {
  return vector_bytes(problem, max_basis + vectors_besides_basis);
}

/// Cost of making the operator of some sequences and of one product with it.
struct Cost {
  int64_t bytes = 0;  ///< peak
  double product_seconds = 0;
};

Cost measure_cost(const ProbeProblem& problem, int64_t sequences, Keep keep) {
  const MemoryScope scope;
  const auto op = problem.hessians(0, sequences, keep);
  const at::Tensor vectors = at::ones({op->problems(), 1, op->dim()}, op->vector_options());
  const auto start = std::chrono::steady_clock::now();
  // Reading a number waits for the device to finish.
  op->apply(vectors).sum().item<double>();
  return {scope.peak_bytes(), seconds_since(start)};
}

/// Measures what the candidate plans need. Remembers the last measurement, because several candidates share it.
class Planner {
 public:
  /// \param allowed  memory limit in bytes, without the memory that is held throughout
  Planner(int64_t allowed, const HeldMemory& held, int64_t positions, const ProblemOf& problem)
      : allowed_(allowed), held_(held), positions_(positions), problem_(problem) {}

  /// Returns the bytes of one sequence with this plan, or nothing if they exceed the limit.
  std::optional<int64_t> fitting_bytes(const MemoryPlan& plan) {
    measure(plan.layers_at_once, plan.keep, allowed_);
    const int64_t bytes = cost_.bytes + basis_bytes(*measured_, plan.max_basis);
    return bytes <= allowed_ ? std::optional(bytes) : std::nullopt;
  }

  /// Returns whether the eigenvectors of both ends can be verified together within the bytes of one sequence, once the basis
  /// has been released. A product of two vectors needs at most twice the memory of one.
  bool can_verify_both(int64_t bytes_of_one) const {
    const int64_t loaded = std::min(held_.streamed_bytes, cost_.bytes);
    return 2 * cost_.bytes - loaded + vector_bytes(*measured_, vectors_besides_basis) <= bytes_of_one;
  }

  /// Sets how many sequences a plan solves together, and their cost, given the bytes of one sequence.
  void divide(MemoryPlan& plan, int64_t bytes_of_one, int64_t sequences) {
    if (!held_.streamed) {
      plan.sequences_at_once = std::clamp<int64_t>(allowed_ / bytes_of_one, 1, sequences);
      plan.predicted_bytes = plan.sequences_at_once * bytes_of_one + held_.bytes;
      plan.product_seconds = cost_.product_seconds * static_cast<double>(plan.sequences_at_once);
      return;
    }
    const int64_t basis = basis_bytes(*measured_, plan.max_basis);
    const int64_t loaded = std::min(held_.streamed_bytes, cost_.bytes);
    const int64_t bytes_of_more = std::max(basis, bytes_of_one - loaded);
    int64_t count = std::clamp<int64_t>((allowed_ - loaded) / bytes_of_more, 1, sequences);
    Cost cost = cost_;
    // Measures several sequences, because more weights may be loaded at their peak than at that of one sequence.
    while (count > 1 && (cost = measure_cost(*measured_, count, plan.keep)).bytes + count * basis > allowed_) {
      count = count * 3 / 4;
      cost = cost_;
    }
    plan.sequences_at_once = count;
    plan.predicted_bytes = cost.bytes + count * basis + held_.bytes;
    plan.product_seconds = cost.product_seconds;
  }

  /// Returns the bytes of one sequence with a plan that does not fit. Measures within the free memory.
  int64_t needed_bytes(const MemoryPlan& plan, std::optional<int64_t> free) {
    measured_.reset();
    measure(plan.layers_at_once, plan.keep, free.value_or(std::numeric_limits<int64_t>::max()));
    return cost_.bytes + basis_bytes(*measured_, plan.max_basis) + held_.bytes;
  }

 private:
  /// Measures one sequence. Measures a quarter of its positions first, which take between a sixteenth (attention
  /// dominates) and a quarter of the memory, and stops there if they show that the whole sequence exceeds the limit.
  void measure(int64_t layers, Keep keep, int64_t limit) {
    if (measured_ && layers == static_cast<int64_t>(measured_->layers.size()) && keep == keep_) {
      return;
    }
    keep_ = keep;
    measured_ = problem_(layers, positions_);
    const int64_t quarter = positions_ / 4;
    if (quarter > 0) {
      const int64_t loaded = held_.streamed_bytes;
      const int64_t quarter_bytes =
          std::max<int64_t>(0, measure_cost(problem_(layers, quarter), 1, keep).bytes - loaded);
      if (quarter_bytes > (limit - loaded) / 4) {
        cost_ = {16 * quarter_bytes + loaded, 0};
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

/// Returns all plans to try, fastest first.
std::vector<MemoryPlan> candidates(const ProbeOptions& options, int64_t layers, bool streamed) {
  const bool tape = options.engine.value() == Engine::tape;
  std::vector<MemoryPlan> plans;
  // Spectra solves one problem at a time, so it gains nothing from several layers at once.
  const int64_t max_layers = tape && options.method != Method::spectra ? layers : 1;
  MemoryPlan plan;
  plan.streamed = streamed;
  plan.keep = streamed ? Keep::checkpoints : Keep::everything;
  for (plan.layers_at_once = max_layers; plan.layers_at_once > 1; plan.layers_at_once = (plan.layers_at_once + 1) / 2) {
    plans.push_back(plan);
  }
  for (const Keep keep : {Keep::everything, Keep::checkpoints}) {
    if (streamed ? keep == Keep::checkpoints : keep == Keep::everything || tape) {
      plan.keep = keep;
      for (plan.max_basis = MemoryPlan().max_basis; plan.max_basis >= min_basis; plan.max_basis /= 2) {
        plans.push_back(plan);
      }
    }
  }
  return plans;
}

bool verifies_both(const ProbeOptions& options) {
  return options.method == Method::lanczos && options.ends == Ends::both;
}

}  // namespace

ComputeMemory compute_memory(at::Device device, const JobPlace& place) {
  return {device, processes_sharing_memory(device, place)};
}

std::optional<int64_t> allowed_bytes(const ProbeOptions& options, const ComputeMemory& memory) {
  if (options.memory_bytes) {
    return options.memory_bytes;
  }
  const std::optional<int64_t> free = available_memory_bytes(memory.device);
  return free ? std::optional(*free / memory.processes / 4 * 3) : std::nullopt;
}

MemoryPlan plan_memory(const ProbeOptions& options, const ComputeMemory& memory, int64_t layers, int64_t sequences,
                       int64_t positions, const ProblemOf& problem, const HeldMemory& held) {
  std::vector<MemoryPlan> ways = candidates(options, layers, held.streamed);
  std::optional<int64_t> allowed = allowed_bytes(options, memory);
  if (!allowed) {
    MemoryPlan plan = ways.front();
    plan.sequences_at_once = sequences;
    plan.verified_at_once = verifies_both(options) ? 2 : 1;
    return plan;
  }
  if (!options.memory_bytes) {
    *allowed += held.bytes;  // held already, so the free memory does not include it
  }
  Planner planner(*allowed - held.bytes, held, positions, problem);
  for (MemoryPlan& plan : ways) {
    if (const auto bytes = planner.fitting_bytes(plan)) {
      if (verifies_both(options) && planner.can_verify_both(*bytes)) {
        plan.verified_at_once = 2;
      }
      planner.divide(plan, *bytes, sequences);
      plan.allowed_bytes = allowed;
      return plan;
    }
  }
  const int64_t needed = planner.needed_bytes(ways.back(), available_memory_bytes(memory.device));
  std::string enough = format_bytes(needed + needed / 10);
  std::erase(enough, ' ');  // one word of a command line
  throw NotEnoughMemory("one sequence of " + std::to_string(positions) + " tokens needs " + format_bytes(needed) +
                        ", " + format_bytes(*allowed) + " are allowed; give --memory " + enough +
                        " or a smaller --seq-len");
}

std::string describe(const MemoryPlan& plan, models::Site site) {
  const auto count = [](int64_t number, const char* noun) {
    return fmt::format("{} {}{}", number, noun, number == 1 ? "" : "s");
  };
  std::string text = fmt::format("{}: {} and {} at once, ", models::to_string(site),
                                 count(plan.layers_at_once, "layer"), count(plan.sequences_at_once, "sequence"));
  text += plan.keep == Keep::everything ? "everything kept" : "layers recomputed for each product";
  text += plan.streamed ? ", weights streamed" : "";
  if (plan.max_basis != MemoryPlan().max_basis) {
    text += fmt::format(", {} basis vectors", plan.max_basis);
  }
  if (plan.predicted_bytes) {
    text += fmt::format("; {} planned of {} allowed", format_bytes(*plan.predicted_bytes),
                        format_bytes(*plan.allowed_bytes));
  }
  return text;
}

}  // namespace hessian::experiments
