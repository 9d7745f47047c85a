#include <CLI/CLI.hpp>

#include "hessian/host_memory.h"
#include "hessian/models/config.h"
#include "program/interrupt.h"
#include "program/log.h"
#include "program/program.h"
#include "reproduce/reproduce.h"
#include "reproduction/reproduction.h"
#include "sweep/dashboard.h"

namespace {

using namespace hessian::experiments;

/// Values of the command line before they are interpreted.
struct Words {
  std::string scale = "smoke";
  std::vector<std::string> figures;
  bool resume = false;
  bool overwrite = false;
  bool plan = false;
};

std::vector<std::string> figure_words() {
  std::vector<std::string> words;
  for (const char letter : reproduce_figures) {
    words.emplace_back(1, letter);
  }
  return words;
}

void declare(CLI::App& app, ReproduceOptions& options, Words& words) {
  app.add_option("--scale", words.scale,
                 "smoke: a check that everything works; cpu: about an hour on two cores; gpu: a day on one H100")
      ->check(CLI::IsMember(reproduce_scale_words))
      ->capture_default_str();
  app.add_option("--out", options.out, "folder for the results and report.html")->check(check_not_empty);
  app.add_option("--figure", words.figures,
                 "a: H_xx of single maps, b: H_xx by layer, c: activation scales, d: stable learning rates, "
                 "e: loss curves, f: cost of the norms, g: stable rates against curvature (default: all)")
      ->delimiter(',')
      ->check(CLI::IsMember(figure_words()));
  app.add_option("--data", options.data,
                 "training data, as data.source of hessian-train: text, tokens (.bin), or builtin")
      ->check(check_not_empty)
      ->capture_default_str();
  app.add_option("--device", options.device, "auto, cpu, cuda or cuda:N")->capture_default_str();
  auto* resume =
      app.add_flag("--resume", words.resume, "continue an interrupted reproduction; starts one if there is none");
  app.add_flag("--overwrite", words.overwrite, "replace existing results")->excludes(resume);
  app.add_flag("--plan", words.plan, "print the experiments and their cost, and run nothing");
}

void interpret(const Words& words, ReproduceOptions& options) {
  options.scale = parse_reproduce_scale(words.scale);
  if (!words.figures.empty()) {
    options.figures.clear();
    for (const std::string& figure : words.figures) {
      options.figures += figure;
    }
  }
  options.existing = words.resume ? ExistingRun::resume : words.overwrite ? ExistingRun::replace : ExistingRun::refuse;
}

/// Returns the files to report on: those of the requested figures, and results of earlier calls in the same folder.
hessian::analysis::ReproductionFiles files_of(const ReproduceOptions& options) {
  ReproduceOptions all = options;
  all.figures = reproduce_figures;
  const ReproducePlan plan = reproduce_plan(all);
  const auto wanted = [&options](const std::filesystem::path& file, const std::string& figures) {
    return options.figures.find_first_of(figures) != std::string::npos || std::filesystem::exists(file);
  };
  hessian::analysis::ReproductionFiles files;
  files.scale = to_string(options.scale);
  files.command = "hessian-reproduce --scale " + files.scale + " --out " + quoted_word(options.out.string());
  if (options.data != ReproduceOptions().data) {
    files.command += " --data " + quoted_word(options.data);
  }
  files.plan = describe(plan, options.scale);
  if (wanted(synthetic_file(options.out), "a")) {
    files.synthetic = synthetic_file(options.out);
  }
  if (wanted(step_times_file(options.out), "f")) {
    files.step_times = step_times_file(options.out);
  }
  for (const PlannedSweep& sweep : plan.sweeps) {
    const int64_t parameters = hessian::models::parameter_count(architecture_of(sweep.config.train));
    const std::string family = sweep.name.substr(0, sweep.name.find('-'));
    if (!wanted(sweep_file(sweep.config), sweep.figures)) {
      continue;
    }
    auto& list = sweep.figures.find('d') == std::string::npos ? files.curvature : files.stability;
    list.push_back({family, sweep.name.substr(family.size() + 1), parameters, sweep_file(sweep.config)});
  }
  return files;
}

bool run_all(const ReproduceOptions& options, const ReproducePlan& plan) {
  const InterruptGuard guard;
  SweepDashboard dashboard;
  return run_reproduction(options, plan, dashboard);
}

}  // namespace

int main(int argc, char** argv) {
  return run_program("hessian-reproduce", [&] {
    hessian::keep_freed_memory();
    ReproduceOptions options;
    Words words;
    CLI::App app("Reproduces the claims of the SimpleGPT paper (arXiv 2602.01212) at a chosen scale",
                 "hessian-reproduce");
    declare(app, options, words);
    if (const auto status = parse_command_line(app, argc, argv)) {
      return *status;
    }
    interpret(words, options);
    options.command_line = join_command_line(argc, argv);
    const ReproducePlan plan = reproduce_plan(options);
    if (words.plan) {
      for (const std::string& line : describe(plan, options.scale)) {
        print(line + "\n");
      }
      return 0;
    }
    if (options.out.empty()) {
      throw std::invalid_argument("--out is required; see hessian-reproduce --help");
    }
    if (options.scale == ReproduceScale::gpu) {
      for (const std::string& line : describe(plan, options.scale)) {
        log_note(line);
      }
    }
    const bool done = run_all(options, plan);
    const auto claims = hessian::analysis::write_reproduction(files_of(options), options.out);
    print(hessian::analysis::format_claims(claims) + "report: " + (options.out / "report.html").string() + "\n");
    return done ? 0 : 1;
  });
}
