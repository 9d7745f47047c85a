#pragma once

#include <filesystem>

namespace hessian::experiments {

/// What happens to a run that is there already.
enum class ExistingRun { refuse, replace, resume };

/// Refuses an output file that could not be written, before a long computation rather than after it.
///
/// Checks that nothing of that name is in the way and that its folder takes new files, by making one there for a
/// moment.
///
/// \throws std::runtime_error  one line that names the file, what is wrong and what would be right, such as
///                             `run.h5: already exists; use --overwrite to replace it`
void ensure_writable_output(const std::filesystem::path& path, bool overwrite);

/// Makes a folder, and those above it, unless it is there.
/// \throws std::runtime_error  one line that names the folder and says why not
void make_folder(const std::filesystem::path& path);

/// A file that is made under a temporary name beside its final one, and appears under the final name whole or not at
/// all.
///
/// The temporary name is `.NAME.partial-PID-N`. The destructor removes the file unless it was published; what a killed
/// process left behind is removed by the next one that writes the same file.
class TemporaryOutput {
 public:
  /// Makes an empty file under the temporary name.
  /// \throws std::runtime_error  as ensure_writable_output()
  TemporaryOutput(std::filesystem::path final_path, bool overwrite);
  TemporaryOutput(const TemporaryOutput&) = delete;
  TemporaryOutput& operator=(const TemporaryOutput&) = delete;
  ~TemporaryOutput();

  [[nodiscard]] const std::filesystem::path& path() const noexcept { return temporary_; }

  /// Writes the file through to the disk and gives it its final name. Without `overwrite` a file that has appeared
  /// there in the meantime is never replaced.
  /// \throws std::runtime_error  if that fails; the temporary file is then removed by the destructor
  void publish();

 private:
  std::filesystem::path shown_;   // as the caller wrote it, for messages
  std::filesystem::path target_;  // the same with symbolic links resolved
  std::filesystem::path temporary_;
  bool overwrite_;
  bool published_ = false;
};

/// Whether an error of fsync() means that data may be lost; some file systems merely lack the operation.
bool is_failed_sync(int error_number);

}  // namespace hessian::experiments
