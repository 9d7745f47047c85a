#pragma once

#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace hessian::analysis {

/// What hessian-plot is asked for; the defaults are its defaults.
struct PlotOptions {
  std::vector<std::filesystem::path> files;
  std::filesystem::path out;
  std::vector<std::string> formats = {"svg"};  ///< of image_formats
  std::vector<std::string> select;             ///< names of figures, with * and ?; empty: all
  bool csv = false;                            ///< also each figure's numbers
  bool report = false;                         ///< also one page with everything, `report.html`
  bool wait = false;                           ///< what cannot be drawn yet of runs that are not finished is no error
  std::string command_line;
};

struct PlotOutcome {
  std::vector<std::filesystem::path> written;
  std::vector<std::string> problems;  ///< files, datasets and figures that could not be used, a line each
  bool failed = false;                ///< whether a file or a figure is among them
  bool unfinished = false;            ///< whether a run of them is not finished
};

/// Reads the run files that can be read, draws what they hold and writes it to the folder `out`, which is made.
///
/// \throws std::invalid_argument  if a name selects nothing
/// \throws std::runtime_error     one line, if no file can be read, none holds anything that can be drawn, gnuplot is
///                                missing or nothing can be written
PlotOutcome plot(const PlotOptions& options);

/// What files hold, as text: who wrote them, their datasets, and the names of the figures that they allow.
/// \throws std::runtime_error  if none of them can be read
struct Listing {
  std::string text;
  std::vector<std::string> problems;
  bool failed = false;
};
Listing list_contents(const std::vector<std::filesystem::path>& files);

}  // namespace hessian::analysis
