#pragma once

#include <filesystem>
#include <string>

namespace hessian::analysis {

/// Writes a text to a file, atomically; an existing file is replaced.
/// \throws std::runtime_error  one line that names the file
void write_text(const std::filesystem::path& path, const std::string& text);

}  // namespace hessian::analysis
