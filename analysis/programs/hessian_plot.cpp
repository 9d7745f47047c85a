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

struct Words {
  bool list = false;
  std::optional<double> watch_seconds;
};

void declare(CLI::App& app, hessian::analysis::PlotOptions& options, Words& words) {
  app.add_option("files", options.files, "run files (HDF5); several are laid over each other")
      ->required()
      ->type_name("RUN.h5");
  auto* out = app.add_option("--out", options.out, "folder for what is drawn")->check(check_not_empty);
  app.add_option("--format", options.formats,
                 "of the images: svg, png (screens), pdf (a printed column); none draws none")
      ->delimiter(',')
      ->capture_default_str()
      ->check(CLI::IsMember({"svg", "png", "pdf", "none"}));
  app.add_option("--select", options.select, "figures by their names, with * and ?; --list names them")->delimiter(',');
  app.add_flag("--csv", options.csv, "also write each figure's numbers");
  app.add_flag("--report", options.report, "also write report.html: figures, tables and warnings on one page");
  auto* list = app.add_flag("--list", words.list, "print what the files hold, and draw nothing")->excludes(out);
  app.add_option("--watch", words.watch_seconds, "draw anew every so many seconds (10) until all runs are finished")
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

/// Waits, or less if the user has had enough.
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
    CLI::App app("Draws what run files hold", "hessian-plot");
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
