#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "sweep/sweep.h"

namespace hessian::experiments {

/// Size of the experiments: a check that everything works (minutes), about an hour on two CPU cores, or a day on a
/// data-centre GPU.
enum class ReproduceScale { smoke, cpu, gpu };

extern const std::vector<std::string> reproduce_scale_words;
const std::string& to_string(ReproduceScale scale);
/// Parses a word of reproduce_scale_words.
/// \throws std::invalid_argument  for another word
ReproduceScale parse_reproduce_scale(const std::string& word);

/// All figures, one letter each: `a` H_xx of single maps, `b` H_xx by layer, `c` activation scales, `d` stable learning
/// rates, `e` loss curves, `f` cost of the norms, `g` stable learning rates against curvature.
extern const std::string reproduce_figures;

/// A sweep of three norm placements of one model over learning rates and seeds.
struct PlannedSweep {
  std::string name;     ///< folder of the sweep: `llama2-small`
  std::string figures;  ///< figures that need it: `deg`
  SweepConfig config;
};

/// The experiments of a reproduction. Results go to OUT/synthetic.h5, OUT/step_times.h5 and OUT/NAME/sweep.h5.
struct ReproducePlan {
  std::vector<PlannedSweep> sweeps;
  std::vector<TrainConfig> step_time_configs;  ///< three placements per size
  int64_t step_time_rounds = 5;
  double step_time_seconds = 1;
  std::vector<double> synthetic_norms;
  int64_t synthetic_width = 256;
  std::vector<int64_t> synthetic_widths;
  int64_t synthetic_seeds = 3;
};

struct ReproduceOptions {
  ReproduceScale scale = ReproduceScale::smoke;
  std::string figures = reproduce_figures;  ///< letters of the figures to make
  std::filesystem::path out;
  std::string data = "builtin";
  std::string device = "auto";
  ExistingRun existing = ExistingRun::refuse;
  std::string command_line;
};

/// Returns the experiments that the requested figures need.
ReproducePlan reproduce_plan(const ReproduceOptions& options);

/// Describes a plan, one line per experiment: runs, parameters, tokens and operations of each sweep. For scale gpu also
/// the cost of the paper's own 7B and 8B models.
std::vector<std::string> describe(const ReproducePlan& plan, ReproduceScale scale);

/// Runs every experiment whose results do not exist yet. Sweeps run as with hessian-sweep, with configurations that are
/// written to OUT/NAME.toml.
/// \return  whether everything is done; false if the user interrupted it (which needs an InterruptGuard)
/// \throws std::invalid_argument  if results of another configuration exist
/// \throws std::runtime_error     if results exist and options.existing is `refuse`, or if a file cannot be written
bool run_reproduction(const ReproduceOptions& options, const ReproducePlan& plan, SweepObserver& observer);

std::filesystem::path synthetic_file(const std::filesystem::path& out);
std::filesystem::path step_times_file(const std::filesystem::path& out);

}  // namespace hessian::experiments
