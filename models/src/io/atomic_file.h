#pragma once

#include <cstddef>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>

namespace hessian::models {

/// Writes a file so that a reader finds the old file or the whole new one, whatever happens to the writer.
///
/// The contents go to a temporary file in the same folder, which commit() flushes to the disk and renames. The
/// destructor removes it if commit() was not called. A symbolic link is followed: its target is replaced.
/// ```cpp
/// AtomicFile file("out/model.safetensors");
/// file.write(header);
/// file.write(weights);
/// file.commit();
/// ```
/// A library that writes files by name (HDF5, gnuplot) can write to path() instead of calling write().
///
/// The temporary file is named `.NAME.partial-PID-N` and locked while this object lives. The lock distinguishes it from
/// temporary files that killed processes left, which the next writer of the same file removes. The lock is an open file
/// description lock (fcntl), so that it does not exclude a flock() lock that a library takes on path(). If the file
/// system has no locks, the process id in the name decides instead.
class AtomicFile {
 public:
  /// Creates an empty temporary file.
  ///
  /// \param path       name that the file gets in commit(); its folder must exist
  /// \param overwrite  whether to replace a file of that name
  /// \throws std::runtime_error  one line that names the file, the problem and the remedy, such as
  ///                             "run.h5: already exists; use --overwrite to replace it"
  explicit AtomicFile(std::filesystem::path path, bool overwrite = true);
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;
  ~AtomicFile();

  /// Returns the path of the temporary file.
  const std::filesystem::path& path() const noexcept { return temporary_; }

  /// Appends bytes to the temporary file.
  /// \throws std::runtime_error  "out/model.safetensors: cannot write 4096 bytes: No space left on device; ..."
  void write(std::span<const std::byte> bytes);

  /// Waits until the temporary file is on the disk and gives it its final name. Without `overwrite`, a file of that
  /// name that another process has created in the meantime is not replaced.
  /// \throws std::runtime_error  if that fails; the destructor then removes the temporary file
  void commit();

 private:
  void discard() noexcept;

  std::filesystem::path shown_;   // path as the caller gave it, for messages
  std::filesystem::path target_;  // the same with symbolic links resolved
  std::filesystem::path temporary_;
  bool overwrite_;
  int descriptor_ = -1;  // of the temporary file; holds the lock
};

/// Writes a whole file with AtomicFile.
/// \param overwrite  whether to replace an existing file
/// \throws std::runtime_error  as AtomicFile
void write_file(const std::filesystem::path& path, std::string_view contents, bool overwrite = true);

/// Removes the temporary files that killed processes left in `folder`, for files whose names begin with `prefix`. Keeps
/// those that another process is writing, and ignores errors.
void remove_half_written(const std::filesystem::path& folder, const std::string& prefix);

/// Waits until a file, or a folder's list of names, is on the disk.
/// \return  0, or the errno value of a failure that may lose data; file systems that merely lack the operation return 0
int flush_to_disk(int descriptor);

}  // namespace hessian::models
