#pragma once

#include <filesystem>
#include <string>

namespace hessian::analysis {

/// Writes a text as a file that appears whole or not at all, and replaces an older one.
/// \throws std::runtime_error  one line that names the file
void write_text(const std::filesystem::path& path, const std::string& text);

}  // namespace hessian::analysis
