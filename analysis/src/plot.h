#pragma once

#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace hessian::analysis {

/// The options of hessian-plot with their defaults.
struct PlotOptions {
  std::vector<std::filesystem::path> files;
  std::filesystem::path out;
  std::vector<std::string> formats = {"svg"};  ///< from image_formats
  std::vector<std::string> select;             ///< ids of figures, with * and ?; empty: all
  bool csv = false;                            ///< write each figure's numbers as well
  bool report = false;                         ///< write `report.html` as well, with findings, figures and tables
  bool wait = false;                           ///< accept unfinished runs that have no data for a figure yet
  std::string command_line;
};

struct PlotOutcome {
  std::vector<std::filesystem::path> written;
  std::vector<std::string> problems;  ///< files, datasets and figures with problems, a line each
  bool failed = false;                ///< whether a file could not be read
  bool unfinished = false;            ///< whether a run is not finished
};

/// Reads run files, draws their contents and writes images, tables and the report to the folder `out`, which is
/// created. Names unreadable files in `problems`.
///
/// \throws std::invalid_argument  if a name selects nothing
/// \throws std::runtime_error     one line, if no file can be read, none has data for a figure, gnuplot is missing or the
///                                output cannot be written
PlotOutcome plot(const PlotOptions& options);

/// The contents of run files as text.
struct Listing {
  std::string text;
  std::vector<std::string> problems;
  bool failed = false;
};

/// Lists the program, the datasets and the possible figures of each file.
/// \throws std::runtime_error  if none of the files can be read
Listing list_contents(const std::vector<std::filesystem::path>& files);

}  // namespace hessian::analysis
