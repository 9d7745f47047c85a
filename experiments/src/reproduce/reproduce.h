#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "sweep/sweep.h"

namespace hessian::experiments {

/// How large the experiments are: a check that all works (minutes), what two cores do in hours, what a data-centre GPU
/// does in a day.
enum class ReproduceScale { smoke, cpu, gpu };

extern const std::vector<std::string> reproduce_scale_words;
const std::string& to_string(ReproduceScale scale);
/// \throws std::invalid_argument  naming the accepted words
ReproduceScale parse_reproduce_scale(const std::string& word);

/// The figures, each a letter: `a` H_xx of single maps, `b` H_xx by layer, `c` activation scales, `d` stable rates, `e`
/// loss curves, `f` cost of the norms, `g` stable rates against curvature.
extern const std::string reproduce_figures;

/// Three norm placements of one model, swept over learning rates and seeds.
struct PlannedSweep {
  std::string name;     ///< its folder: `llama2-small`
  std::string figures;  ///< that need it: `deg`
  SweepConfig config;
};

/// What a scale consists of. Results go to OUT/synthetic.h5, OUT/step_times.h5 and OUT/NAME/sweep.h5.
struct ReproducePlan {
  std::vector<PlannedSweep> sweeps;
  std::vector<TrainConfig> step_time_configs;  ///< three placements of one size, size by size
  int64_t step_time_rounds = 5;
  double step_time_seconds = 1;
  std::vector<double> synthetic_norms;
  int64_t synthetic_width = 256;
  std::vector<int64_t> synthetic_widths;
  int64_t synthetic_seeds = 3;
};

struct ReproduceOptions {
  ReproduceScale scale = ReproduceScale::smoke;
  std::string figures = reproduce_figures;  ///< letters
  std::filesystem::path out;
  std::string data = "builtin";
  std::string device = "auto";
  ExistingRun existing = ExistingRun::refuse;
  std::string command_line;
};

/// The experiments that the figures asked for need.
ReproducePlan reproduce_plan(const ReproduceOptions& options);

/// The plan in words: runs, parameters, tokens and arithmetic of each sweep, and for scale gpu what the paper's own 7B
/// and 8B models would take.
std::vector<std::string> describe(const ReproducePlan& plan, ReproduceScale scale);

/// Runs what is not there yet. Sweeps are those of hessian-sweep, whose configurations are left in OUT/NAME.toml.
/// \return  whether everything is done; false where the user stopped it (an InterruptGuard has to live)
/// \throws std::invalid_argument  if results of another configuration are there
/// \throws std::runtime_error     if results are there and are neither to be resumed nor to be replaced, or cannot be
///                                written
bool run_reproduction(const ReproduceOptions& options, const ReproducePlan& plan, SweepObserver& observer);

std::filesystem::path synthetic_file(const std::filesystem::path& out);
std::filesystem::path step_times_file(const std::filesystem::path& out);

}  // namespace hessian::experiments
