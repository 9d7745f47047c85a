#pragma once

#include <filesystem>

#include "io/atomic_file.h"

namespace hessian::experiments {

// Makes the file writers of `models` available in this namespace.
using models::AtomicFile;
using models::write_file;

/// What to do with the files of an earlier run of the same name.
enum class ExistingRun { refuse, replace, resume };

/// Throws if an output file cannot be written. Call it before a long computation, so that this fails early.
///
/// Checks that no file has this name unless it may be replaced, and that the folder is writable: creates a temporary
/// file there and removes it again.
///
/// \throws std::runtime_error  one line that names the file, what is wrong and the remedy, such as
///                             `run.h5: already exists; use --overwrite to replace it`
void ensure_writable_output(const std::filesystem::path& path, bool overwrite);

/// Creates a folder and its parents, unless they exist.
/// \throws std::runtime_error  one line that names the folder and what is wrong
void make_folder(const std::filesystem::path& path);

}  // namespace hessian::experiments
