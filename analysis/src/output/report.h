#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "figures/figure.h"

namespace hessian::analysis {

/// A table of texts; every row is as long as the header.
struct Table {
  std::string title;
  std::vector<std::string> header;
  std::vector<std::vector<std::string>> rows;
};

/// A chapter of a report. All texts are plain text; the page escapes them.
struct Section {
  std::string title;
  std::vector<std::string> paragraphs;
  std::vector<std::string> warnings;
  std::vector<std::string> commands;  ///< shown as typed in a shell
  std::vector<Table> tables;
  std::vector<Figure> figures;
};

struct Report {
  std::string title;
  std::string summary;
  std::vector<Section> sections;
};

/// Writes a report as one self-contained HTML page, with styles and SVG figures inline and without scripts, for wide and
/// narrow screens, light and dark mode, and print.
/// \param drawings  folder that holds every figure as ID.svg already; if empty, the figures are drawn
/// \throws std::runtime_error  one line, if a figure cannot be drawn or the page cannot be written; an existing page is
///                             kept then
void write_report(const Report& report, const std::filesystem::path& page, const std::filesystem::path& drawings = {});

}  // namespace hessian::analysis
