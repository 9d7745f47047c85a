#include <CLI/CLI.hpp>
#include <chrono>
#include <optional>
#include <set>
#include <thread>

#include "output/gnuplot.h"
#include "plot.h"
#include "program/interrupt.h"
#include "program/log.h"
#include "program/program.h"

namespace {

using namespace hessian::experiments;

/// Options that only this program has.
struct Words {
  bool list = false;
  std::optional<double> watch_seconds;
};

void declare(CLI::App& app, hessian::analysis::PlotOptions& options, Words& words) {
  app.add_option("files", options.files, "run files (HDF5); several are overlaid in one figure")
      ->required()
      ->type_name("RUN.h5");
  auto* out = app.add_option("--out", options.out, "output folder, created if missing")->check(check_not_empty);
  app.add_option("--format", options.formats, "image formats: svg, png (for screens), pdf (for a printed column), none")
      ->delimiter(',')
      ->capture_default_str()
      ->check(CLI::IsMember({"svg", "png", "pdf", "none"}));
  app.add_option("--select", options.select,
                 "draw only these figures, wildcards * and ? allowed; --list shows their names")
      ->delimiter(',');
  app.add_flag("--csv", options.csv, "write each figure's numbers as well");
  app.add_flag("--report", options.report,
               "write report.html as well: findings, figures, tables and warnings on one page");
  auto* list = app.add_flag("--list", words.list, "print the contents of the files and draw nothing")->excludes(out);
  app.add_option("--watch", words.watch_seconds, "redraw at this interval until all runs are finished")
      ->expected(0, 1)
      ->default_str("10")
      ->type_name("SECONDS")
      ->check(check_positive_number)
      ->excludes(list);
}

void warn_once(const std::vector<std::string>& problems, std::set<std::string>& said) {
  for (const std::string& problem : problems) {
    if (said.insert(problem).second) {
      log_warning(problem);
    }
  }
}

/// Waits for this time or until an interrupt.
void pause(double seconds) {
  using std::chrono::duration;
  using std::chrono::steady_clock;
  const auto end = steady_clock::now() + duration<double>(seconds);
  while (steady_clock::now() < end && !InterruptGuard::requested()) {
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  }
}

int draw_all(const hessian::analysis::PlotOptions& options, const Words& words) {
  std::set<std::string> said;
  const InterruptGuard guard;
  while (true) {
    const hessian::analysis::PlotOutcome outcome = hessian::analysis::plot(options);
    warn_once(outcome.problems, said);
    if (!words.watch_seconds || !outcome.unfinished || InterruptGuard::requested()) {
      std::string text;
      for (const auto& path : outcome.written) {
        text += path.string() + "\n";
      }
      print(text);
      return outcome.failed ? 1 : 0;
    }
    pause(*words.watch_seconds);
  }
}

}  // namespace

int main(int argc, char** argv) {
  return run_program("hessian-plot", [&] {
    hessian::analysis::PlotOptions options;
    Words words;
    CLI::App app("Draws the contents of run files", "hessian-plot");
    declare(app, options, words);
    if (const auto status = parse_command_line(app, argc, argv, UsesTorch::no)) {
      return *status;
    }
    options.command_line = join_command_line(argc, argv);
    options.wait = words.watch_seconds.has_value();
    std::erase(options.formats, "none");
    if (words.list) {
      const hessian::analysis::Listing listing = hessian::analysis::list_contents(options.files);
      print(listing.text);
      std::set<std::string> said;
      warn_once(listing.problems, said);
      return listing.failed ? 1 : 0;
    }
    if (options.out.empty()) {
      throw std::invalid_argument("--out is required; see hessian-plot --help");
    }
    return draw_all(options, words);
  });
}
