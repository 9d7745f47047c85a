#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "figures/figure.h"

namespace hessian::analysis {

/// Words and numbers in rows, each as long as the header.
struct Table {
  std::string title;
  std::vector<std::string> header;
  std::vector<std::vector<std::string>> rows;
};

/// A chapter of a report. All texts are plain: what means something in HTML is escaped.
struct Section {
  std::string title;
  std::vector<std::string> paragraphs;
  std::vector<std::string> warnings;
  std::vector<std::string> commands;  ///< shown as they would be typed
  std::vector<Table> tables;
  std::vector<Figure> figures;
};

struct Report {
  std::string title;
  std::string summary;
  std::vector<Section> sections;
};

/// Writes a report as one HTML page that needs nothing else: figures stand in it as SVG, styles too, no script runs. It
/// suits wide and narrow screens, light and dark, and print.
/// \throws std::runtime_error  one line, if a figure cannot be drawn or the page cannot be written; an older page stays
///                             then
void write_report(const Report& report, const std::filesystem::path& page);

}  // namespace hessian::analysis
