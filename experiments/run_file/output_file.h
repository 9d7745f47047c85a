#pragma once

#include <filesystem>

#include "io/atomic_file.h"

namespace hessian::experiments {

// How this project writes files, for libraries that do not link `models`.
using models::AtomicFile;
using models::write_file;

/// What to do with the files of an earlier run of the same name.
enum class ExistingRun { refuse, replace, resume };

/// Throws if an output file cannot be written, before a long computation rather than after it.
///
/// Checks that the name is free or may be replaced, and that its folder takes new files, by creating a temporary file
/// there and removing it again.
///
/// \throws std::runtime_error  one line that names the file, the problem and the remedy, such as
///                             `run.h5: already exists; use --overwrite to replace it`
void ensure_writable_output(const std::filesystem::path& path, bool overwrite);

/// Creates a folder and its parents, unless they exist.
/// \throws std::runtime_error  one line that names the folder and the problem
void make_folder(const std::filesystem::path& path);

}  // namespace hessian::experiments
