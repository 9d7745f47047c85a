#include "reproduce/reproduce.h"

#include <fmt/format.h>
#include <toml++/toml.h>

#include <algorithm>
#include <functional>
#include <sstream>
#include <stdexcept>

#include "hessian/run_file.h"
#include "program/interrupt.h"
#include "program/log.h"
#include "program/progress.h"
#include "reproduce/step_times.h"
#include "reproduce/synthetic_curvature.h"
#include "run_file/output_file.h"
#include "sweep/sweep.h"
#include "train/existing_run.h"

namespace hessian::experiments {
namespace {

namespace fs = std::filesystem;

std::string text_of(const toml::table& table) {
  std::ostringstream text;
  text << table << '\n';
  return text.str();
}

RunInfo run_info(const ReproduceOptions& options, const std::string& config, const std::string& device,
                 const std::string& dtype) {
  RunInfo info = make_run_info("hessian-reproduce", options.command_line);
  info.device = device;
  info.dtype = dtype;
  info.config = config;
  info.model = "{}";
  return info;
}

/// Returns whether a file holds finished results already and is not to be replaced.
/// \throws std::invalid_argument  if they were made with another configuration
bool is_done(const fs::path& file, const std::string& config, ExistingRun existing) {
  if (existing == ExistingRun::replace || !fs::exists(file)) {
    return false;
  }
  const RunFileReader run(file);
  if (run.finished() && run.info().config != config) {
    throw std::invalid_argument(
        file.string() + ": was made with another configuration; use --overwrite to replace it, or another --out");
  }
  return run.finished();
}

/// Throws std::runtime_error if results of the plan exist already.
void refuse_results(const ReproduceOptions& options, const ReproducePlan& plan) {
  std::vector<fs::path> files;
  for (const PlannedSweep& sweep : plan.sweeps) {
    files.push_back(sweep_file(sweep.config));
  }
  if (!plan.synthetic_widths.empty()) {
    files.push_back(synthetic_file(options.out));
  }
  if (!plan.step_time_configs.empty()) {
    files.push_back(step_times_file(options.out));
  }
  std::for_each(files.begin(), files.end(), refuse_existing);
}

void run_synthetic(const ReproduceOptions& options, const ReproducePlan& plan) {
  toml::array norms;
  for (const double norm : plan.synthetic_norms) {
    norms.push_back(norm);
  }
  toml::array widths;
  for (const int64_t width : plan.synthetic_widths) {
    widths.push_back(width);
  }
  const std::string config = text_of(toml::table{
      {"synthetic",
       toml::table{
           {"norms", norms}, {"width", plan.synthetic_width}, {"widths", widths}, {"seeds", plan.synthetic_seeds}}}});
  if (is_done(synthetic_file(options.out), config, options.existing)) {
    return;
  }
  log_note("synthetic: H_xx of single maps");
  ProgressLine line("synthetic");
  const SyntheticOptions synthetic{plan.synthetic_norms, plan.synthetic_width, plan.synthetic_widths,
                                   plan.synthetic_seeds};
  const auto rows = synthetic_curvature(synthetic, [&line](int64_t done, int64_t total) { line.update(done, total); });
  write_synthetic(synthetic_file(options.out), run_info(options, config, "cpu", "float64"), rows);
}

void run_step_times(const ReproduceOptions& options, const ReproducePlan& plan) {
  toml::array models;
  std::string shapes;
  for (TrainConfig train : plan.step_time_configs) {
    models.push_back(train.model.name);
    shapes += write_config(train_fields(train));
  }
  const std::string config = text_of(toml::table{{"step_times", toml::table{{"models", models},
                                                                            {"rounds", plan.step_time_rounds},
                                                                            {"seconds", plan.step_time_seconds},
                                                                            {"configurations", shapes}}}});
  if (is_done(step_times_file(options.out), config, options.existing)) {
    return;
  }
  log_note("step times: cost of the additional norms");
  ProgressLine line("step times");
  const auto times = measure_step_times({plan.step_time_configs, plan.step_time_rounds, plan.step_time_seconds},
                                        [&line](int64_t done, int64_t total) { line.update(done, total); });
  const std::string dtype = plan.step_time_configs.front().dtype;
  write_step_times(step_times_file(options.out), run_info(options, config, options.device, dtype), times);
}

}  // namespace

fs::path synthetic_file(const fs::path& out) {
  return out / "synthetic.h5";
}

fs::path step_times_file(const fs::path& out) {
  return out / "step_times.h5";
}

bool run_reproduction(const ReproduceOptions& options, const ReproducePlan& plan, SweepObserver& observer) {
  if (options.existing == ExistingRun::refuse) {
    refuse_results(options, plan);
  }
  make_folder(options.out);
  if (!plan.synthetic_widths.empty()) {
    run_synthetic(options, plan);
  }
  if (!plan.step_time_configs.empty() && !InterruptGuard::requested()) {
    run_step_times(options, plan);
  }
  for (const PlannedSweep& sweep : plan.sweeps) {
    if (InterruptGuard::requested()) {
      return false;
    }
    log_note(sweep.name);
    SweepConfig config = sweep.config;
    write_config_file(options.out / (sweep.name + ".toml"), sweep_fields(config));
    const SweepOptions sweep_options{sweep.config, options.existing, options.command_line};
    if (run_sweep(sweep_options, observer).interrupted) {
      return false;
    }
  }
  return !InterruptGuard::requested();
}

}  // namespace hessian::experiments
