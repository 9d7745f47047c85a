#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "figures/figure.h"

namespace hessian::analysis {

/// Accepted image formats: svg and png for screens, pdf for a column of a printed page (3.4 inches wide).
extern const std::vector<std::string> image_formats;

/// Returns the gnuplot program that draws a figure, including its data.
/// \param format  one of `image_formats`
std::string gnuplot_script(const Figure& figure, const std::string& format, const std::filesystem::path& image);

/// Draws a figure with the gnuplot in the PATH. The image is written atomically and replaces an existing one.
/// \throws std::runtime_error  one line, if gnuplot is missing or fails, or the image cannot be written
void draw(const Figure& figure, const std::string& format, const std::filesystem::path& image);

}  // namespace hessian::analysis
