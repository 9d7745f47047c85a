#include "sweep/slurm.h"

#include <fmt/format.h>

#include <charconv>
#include <filesystem>
#include <stdexcept>

#include "program/child_process.h"
#include "program/program.h"

namespace hessian::experiments {

int64_t tasks_of(const SweepConfig& config, int stage) {
  if (stage < 0 || stage > rounds_of(config)) {
    throw std::invalid_argument(fmt::format("there is no stage {}; stages are 0 to {}", stage, rounds_of(config)));
  }
  return static_cast<int64_t>(stage == 0 ? grid_cells(config).size() : config.models.size() * config.seeds.size());
}

std::optional<Cell> cell_of_task(const SweepConfig& config, int stage, int64_t index) {
  const int64_t tasks = tasks_of(config, stage);
  if (index < 0 || index >= tasks) {
    throw std::invalid_argument(fmt::format("stage {} has no task {}; tasks are 0 to {}", stage, index, tasks - 1));
  }
  if (stage == 0) {
    return grid_cells(config)[static_cast<std::size_t>(index)];
  }
  const auto seeds = static_cast<int64_t>(config.seeds.size());
  const std::string& model = config.models[static_cast<std::size_t>(index / seeds)];
  // Stages run one after the other, so an unfinished run of an earlier stage has failed.
  const auto rate = bisection_rate(config, model, stage, read_results(config, CellStatus::failed));
  return rate ? std::optional(Cell{model, *rate, config.seeds[static_cast<std::size_t>(index % seeds)],
                                   model_label(config, model)})
              : std::nullopt;
}

Task parse_task(const std::string& word) {
  Task task;
  const char* end = word.data() + word.size();
  const auto [colon, stage_error] = std::from_chars(word.data(), end, task.stage);
  if (stage_error == std::errc() && colon != end && *colon == ':') {
    const auto [rest, index_error] = std::from_chars(colon + 1, end, task.index);
    if (index_error == std::errc() && rest == end) {
      return task;
    }
  }
  throw std::invalid_argument("--task '" + word + "': expected STAGE:INDEX, as in 0:12");
}

std::string slurm_script(const SweepConfig& config, const std::string& path, const std::vector<std::string>& settings) {
  std::string command =
      quoted_word(this_program().string()) + " " + quoted_word(std::filesystem::absolute(path).string());
  for (const std::string& setting : settings) {
    command += " --set " + quoted_word(setting);
  }
  // The folder is absolute, since jobs may start elsewhere. It comes last, so that it overrides other settings of
  // `out`.
  command += " --set " + quoted_word("out=" + std::filesystem::absolute(config.train.out).string());
  std::string script = fmt::format(
      "#!/usr/bin/env bash\n"
      "# Submits this sweep to Slurm: one array task per run, then a job that makes the table. Usage:\n"
      "#   SBATCH_OPTIONS='--partition=cpu --cpus-per-task=4 --time=2:00:00' bash sweep.sh\n"
      "# Each array waits for the previous one, whose results bisection needs. A round that is not needed ends at "
      "once.\n"
      "# To repeat failed tasks, submit the script again: finished runs are not repeated.\n"
      "set -euo pipefail\n"
      "# shellcheck disable=SC2206  # options are separated by spaces\n"
      "options=(${{SBATCH_OPTIONS:-}})\n"
      "sweep={}\n"
      "folder={}\n"
      "submit() {{ sbatch --parsable --chdir=\"$folder\" ${{options[@]+\"${{options[@]}}\"}} \"$@\"; }}\n\n",
      quoted_word(command), quoted_word(std::filesystem::current_path().string()));
  for (int stage = 0; stage <= rounds_of(config); ++stage) {
    const std::string after = stage == 0 ? "" : " --dependency=\"afterany:$previous\"";
    script += fmt::format(
        "previous=$(submit --job-name=hessian-sweep-{0}{1} --array=0-{2} \\\n"
        "  --wrap=\"$sweep --task {0}:\\$SLURM_ARRAY_TASK_ID\")\n",
        stage, after, tasks_of(config, stage) - 1);
  }
  script += "submit --job-name=hessian-sweep-table --dependency=\"afterany:$previous\" --wrap=\"$sweep --merge\"\n";
  return script;
}

}  // namespace hessian::experiments
