#include "plot.h"

#include <fmt/format.h>
#include <fnmatch.h>

#include <algorithm>
#include <stdexcept>

#include "content/run_labels.h"
#include "figures/figures.h"
#include "output/csv.h"
#include "output/gnuplot.h"
#include "output/report.h"
#include "output/run_tables.h"
#include "output/text_file.h"
#include "run_file/output_file.h"

namespace hessian::analysis {
namespace {

namespace fs = std::filesystem;

/// Reads the files and records a problem for each that cannot be read. Throws if none can be read.
std::vector<RunContent> read_runs(const std::vector<fs::path>& files, std::vector<std::string>& problems) {
  std::vector<RunContent> runs;
  for (const fs::path& file : files) {
    try {
      runs.push_back(read_run(file));
    } catch (const std::runtime_error& error) {
      if (files.size() == 1) {
        throw;
      }
      problems.emplace_back(error.what());
    }
  }
  if (runs.empty()) {
    throw std::runtime_error("none of the " + std::to_string(files.size()) + " files can be read: " + problems.front());
  }
  return runs;
}

std::string names_of(const std::vector<Figure>& figures) {
  std::string names;
  for (const Figure& figure : figures) {
    names += (names.empty() ? "" : ", ") + figure.id;
  }
  return names;
}

/// Returns the figures whose id matches a pattern.
/// \param may_be_none  whether a pattern may match nothing
std::vector<Figure> selected(std::vector<Figure> figures, const std::vector<std::string>& select, bool may_be_none) {
  if (select.empty()) {
    return figures;
  }
  const auto matches = [](const std::string& pattern, const Figure& figure) {
    return ::fnmatch(pattern.c_str(), figure.id.c_str(), 0) == 0;
  };
  for (const std::string& pattern : select) {
    if (!may_be_none &&
        std::none_of(figures.begin(), figures.end(), [&](const Figure& figure) { return matches(pattern, figure); })) {
      throw std::invalid_argument("--select '" + pattern + "' matches none of " + names_of(figures));
    }
  }
  std::erase_if(figures, [&](const Figure& figure) {
    return std::none_of(select.begin(), select.end(),
                        [&](const std::string& pattern) { return matches(pattern, figure); });
  });
  return figures;
}

std::string description(const RunContent& run) {
  std::string text =
      fmt::format("{}: {}, {}", run.path.string(), run.info.program, run.finished ? "finished" : "not finished");
  const std::string model = model_text(run);
  return text + (model.empty() ? "" : ", " + model) + ", created " + run.created + "\n";
}

void write_figures(const std::vector<Figure>& figures, const PlotOptions& options, PlotOutcome& outcome) {
  for (const Figure& figure : figures) {
    for (const std::string& format : options.formats) {
      const fs::path image = options.out / (figure.id + "." + format);
      draw(figure, format, image);
      outcome.written.push_back(image);
    }
    if (options.csv) {
      const fs::path table = options.out / (figure.id + ".csv");
      write_text(table, csv_of(figure));
      outcome.written.push_back(table);
    }
    for (const std::string& warning : figure.warnings) {
      outcome.problems.push_back(figure.id + ": " + warning);
    }
  }
}

}  // namespace

PlotOutcome plot(const PlotOptions& options) {
  PlotOutcome outcome;
  std::vector<RunContent> runs = read_runs(options.files, outcome.problems);
  if (runs.size() > max_categories) {
    sort_by_difference(runs);
  }
  outcome.failed = !outcome.problems.empty();
  for (const RunContent& run : runs) {
    outcome.unfinished = outcome.unfinished || !run.finished;
    for (const std::string& problem : run.problems) {
      outcome.problems.push_back(problem);
    }
  }
  const bool may_come = options.wait && outcome.unfinished;
  const std::vector<Figure> figures = selected(figures_of(runs), options.select, may_come);
  if (figures.empty() && may_come) {
    return outcome;
  }
  if (figures.empty()) {
    const std::string name = options.files.size() == 1 ? options.files.front().string() : "the files";
    throw std::runtime_error(name + (options.files.size() == 1 ? " has" : " have") +
                             " no data for any figure yet; --list shows the contents");
  }
  experiments::make_folder(options.out);
  write_figures(figures, options, outcome);
  if (options.report) {
    const fs::path page = options.out / "report.html";
    const bool has_svg = std::find(options.formats.begin(), options.formats.end(), "svg") != options.formats.end();
    write_report(report_on(runs, figures, options.command_line), page, has_svg ? options.out : fs::path());
    outcome.written.push_back(page);
  }
  return outcome;
}

Listing list_contents(const std::vector<fs::path>& files) {
  Listing listing;
  for (const RunContent& run : read_runs(files, listing.problems)) {
    listing.text += description(run);
    for (const auto& dataset : run.datasets) {
      listing.text += fmt::format("  {:<44} [{}]  {}, {}\n", dataset.path, fmt::join(dataset.shape, ", "),
                                  dataset.long_name, dataset.units);
    }
    const std::string names = names_of(figures_of({run}));
    listing.text += names.empty() ? "  figures: none yet\n" : "  figures: " + names + "\n";
    listing.problems.insert(listing.problems.end(), run.problems.begin(), run.problems.end());
  }
  listing.failed = !listing.problems.empty();
  return listing;
}

}  // namespace hessian::analysis
