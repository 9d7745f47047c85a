#include "sweep/folder_lock.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <stdexcept>

namespace hessian::experiments {

FolderLock::FolderLock(const std::filesystem::path& folder)
    : descriptor_(::open((folder / "sweep.lock").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666)) {
  if (descriptor_ < 0) {
    throw std::runtime_error(folder.string() + ": cannot be written to; choose another 'out'");
  }
  if (::flock(descriptor_, LOCK_EX | LOCK_NB) != 0) {
    ::close(descriptor_);
    throw std::runtime_error(folder.string() + ": another hessian-sweep works on it; wait for it or stop it");
  }
}

FolderLock::~FolderLock() {
  ::close(descriptor_);
}

}  // namespace hessian::experiments
