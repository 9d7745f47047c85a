#pragma once

#include <filesystem>

namespace hessian::experiments {

/// Locks a sweep's folder for this process until the object is destroyed. The kernel releases the lock when the process
/// ends, however it ends.
class FolderLock {
 public:
  /// \throws std::runtime_error  if another process holds the lock, or the folder cannot be written to
  explicit FolderLock(const std::filesystem::path& folder);
  ~FolderLock();
  FolderLock(const FolderLock&) = delete;
  FolderLock& operator=(const FolderLock&) = delete;

 private:
  int descriptor_;
};

}  // namespace hessian::experiments
