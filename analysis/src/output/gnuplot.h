#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "figures/figure.h"

namespace hessian::analysis {

/// Formats that figures are drawn in: for screens (svg, png) and for a column of a printed page (pdf, 3.4 inches wide).
extern const std::vector<std::string> image_formats;

/// The program for gnuplot that draws a figure, its data included.
/// \param format  one of `image_formats`
std::string gnuplot_script(const Figure& figure, const std::string& format, const std::filesystem::path& image);

/// Draws a figure with gnuplot, which is sought in the PATH. The image appears whole or not at all, and replaces an
/// older one.
/// \throws std::runtime_error  one line, if gnuplot is missing or fails, or the image cannot be written
void draw(const Figure& figure, const std::string& format, const std::filesystem::path& image);

}  // namespace hessian::analysis
