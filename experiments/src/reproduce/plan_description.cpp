#include <fmt/format.h>

#include "hessian/models/config.h"
#include "hessian/models/named_models.h"
#include "program/progress.h"
#include "reproduce/reproduce.h"

namespace hessian::experiments {
namespace {

/// Returns the maximum number of runs of a sweep.
int64_t max_runs(const SweepConfig& config) {
  const auto rates = static_cast<int64_t>(grid_rates(config.lr).size()) + rounds_of(config);
  return rates * static_cast<int64_t>(config.models.size() * config.seeds.size());
}

/// Returns the operations of training: 6 N per token, for the forward and the backward pass (Kaplan et al. 2020,
/// section 2.1).
double operations(double parameters, double tokens) {
  return 6 * parameters * tokens;
}

/// Returns the time that an H100 SXM takes at 40 % of its peak of 989 Tflop/s in bfloat16.
std::string gpu_time(double flop) {
  constexpr double achieved = 0.4 * 989e12;
  return format_seconds(flop / achieved);
}

/// Describes the cost of one of the paper's own runs.
std::string paper_run(const char* name, double steps) {
  const models::GptConfig config = models::parse_model_name(name);
  constexpr double tokens_per_step = 393'216;  // of the official configurations, on 8 GPUs
  const double flop = operations(static_cast<double>(models::parameter_count(config)), steps * tokens_per_step);
  return fmt::format(
      "{}: {:.2e} parameters, {:.0f}K steps of 393,216 tokens, {:.1e} flop per run: {} of one H100 at 40 % of its "
      "peak; weights, gradients and AdamW in float32 take {:.0f} GB, more than its memory",
      std::string(name).substr(4), static_cast<double>(models::parameter_count(config)), steps / 1000, flop,
      gpu_time(flop), 16e-9 * static_cast<double>(models::parameter_count(config)));
}

}  // namespace

std::vector<std::string> describe(const ReproducePlan& plan, ReproduceScale scale) {
  std::vector<std::string> lines;
  double total = 0;
  for (const PlannedSweep& sweep : plan.sweeps) {
    const auto parameters = static_cast<double>(models::parameter_count(architecture_of(sweep.config.train)));
    const TrainConfig& train = sweep.config.train;
    const auto tokens = static_cast<double>(train.steps * sequences_per_update(train) * train.data.seq_len);
    const double flop = static_cast<double>(max_runs(sweep.config)) * operations(parameters, tokens);
    total += flop;
    lines.push_back(fmt::format("{}: at most {} runs of {} parameters and {} tokens, {:.1e} flop", sweep.name,
                                max_runs(sweep.config), format_count(parameters), format_count(tokens), flop));
  }
  if (!plan.synthetic_widths.empty()) {
    lines.push_back(fmt::format("synthetic: {} weight norms and widths from {} to {}, {} seeds, three maps",
                                plan.synthetic_norms.size(), plan.synthetic_widths.front(),
                                plan.synthetic_widths.back(), plan.synthetic_seeds));
  }
  if (!plan.step_time_configs.empty()) {
    lines.push_back(fmt::format("step times: {} models, {} rounds of {:g} s each", plan.step_time_configs.size(),
                                plan.step_time_rounds, plan.step_time_seconds));
  }
  if (total > 0) {
    lines.push_back(fmt::format("all sweeps: {:.1e} flop, without probes", total));
  }
  if (scale == ReproduceScale::gpu) {
    lines.push_back("on one H100 at 40 % of its peak: " + gpu_time(total));
    for (const double steps : {20e3, 40e3, 60e3}) {
      lines.push_back("not run: " + paper_run("new:llama2-7B-simplegpt", steps));
    }
    lines.push_back("not run: " + paper_run("new:llama3-8B-simplegpt", 20e3));
  }
  return lines;
}

}  // namespace hessian::experiments
