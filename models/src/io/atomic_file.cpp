#include "io/atomic_file.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>

#include "io/messages.h"
#include "io/system_error_text.h"

namespace hessian::models {
namespace {

// A temporary file is `.NAME.NUMBER.tmp`.
constexpr const char* before_name = ".";
constexpr const char* after_name = ".tmp";

/// Takes a file for its own until the descriptor is closed. False if another writer has it, or has just given it its
/// name. Where the file system knows no locks there is none, and two writers of one file would disturb each other.
bool take(int descriptor, const std::string& path) {
  if (::flock(descriptor, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) {
    return false;
  }
  struct stat opened {};
  struct stat named {};
  return ::fstat(descriptor, &opened) == 0 && ::stat(path.c_str(), &named) == 0 && opened.st_ino == named.st_ino &&
         opened.st_dev == named.st_dev;
}

}  // namespace

AtomicFile::AtomicFile(std::string path) : path_(std::move(path)) {
  const std::filesystem::path target(path_);
  folder_ = target.has_parent_path() ? target.parent_path().string() : ".";
  struct stat status {};
  if (::stat(path_.c_str(), &status) == 0 && !S_ISREG(status.st_mode)) {
    models::fail(path_, "cannot be written: there is something of that name that is not a regular file");
  }
  if (target.filename().empty()) {
    models::fail(path_, "cannot be written: the name of a file is missing");
  }
  // What a killed writer has left is written over, so that nothing is left for good.
  for (int number = 0; descriptor_ < 0; ++number) {
    const std::string name = fmt::format("{}{}.{}{}", before_name, target.filename().string(), number, after_name);
    const std::string candidate = (std::filesystem::path(folder_) / name).string();
    const int descriptor = ::open(candidate.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0666);
    if (descriptor < 0) {
      const int error = errno;
      fail("cannot write into folder " + name_text(folder_), error);
    }
    if (take(descriptor, candidate)) {
      descriptor_ = descriptor;
      temporary_ = candidate;
    } else {
      ::close(descriptor);
    }
  }
  if (::ftruncate(descriptor_, 0) != 0) {
    const int error = errno;
    discard();
    fail("cannot write into folder " + name_text(folder_), error);
  }
}

AtomicFile::~AtomicFile() {
  discard();
}

void AtomicFile::write(std::span<const std::byte> bytes) {
  // Linux writes at most 0x7ffff000 bytes in one call.
  constexpr std::size_t most_at_once = std::size_t{1} << 30;
  for (std::size_t done = 0; done < bytes.size();) {
    const ssize_t written = ::write(descriptor_, bytes.data() + done, std::min(bytes.size() - done, most_at_once));
    const int error = errno;
    if (written < 0 && error == EINTR) {
      continue;
    }
    if (written < 0) {
      fail(fmt::format("cannot write {} bytes", bytes.size()), error);
    }
    done += static_cast<std::size_t>(written);
  }
}

void AtomicFile::commit() {
  if (::fsync(descriptor_) != 0) {
    const int error = errno;
    fail("cannot flush it to the disk", error);
  }
  // Some file systems (NFS) report a full disk only when a descriptor is closed; a second one keeps the file taken.
  const int taken = ::dup(descriptor_);
  const int closed = ::close(descriptor_);
  const int close_error = errno;
  descriptor_ = taken;
  if (closed != 0) {
    fail("cannot flush it to the disk", close_error);
  }
  if (std::rename(temporary_.c_str(), path_.c_str()) != 0) {
    const int error = errno;
    fail("cannot rename the temporary file to it", error);
  }
  temporary_.clear();
  discard();
  // The rename lasts once the folder is flushed; a file system that cannot flush a folder has nothing to flush.
  const int folder = ::open(folder_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (folder >= 0) {
    ::fsync(folder);
    ::close(folder);
  }
}

void AtomicFile::fail(const std::string& action, int error) const {
  models::fail(path_, "{}: {}", action, system_error_text(error));
}

void AtomicFile::discard() noexcept {
  if (!temporary_.empty()) {
    ::unlink(temporary_.c_str());
    temporary_.clear();
  }
  if (descriptor_ >= 0) {
    ::close(descriptor_);
    descriptor_ = -1;
  }
}

void remove_half_written(const std::filesystem::path& folder, const std::string& prefix) {
  std::error_code error;
  std::filesystem::directory_iterator entry(folder, error);
  for (; !error && entry != std::filesystem::directory_iterator(); entry.increment(error)) {
    const std::string name = entry->path().filename().string();
    if (name.starts_with(before_name + prefix) && name.ends_with(after_name)) {
      std::error_code failure;
      std::filesystem::remove(entry->path(), failure);
    }
  }
}

}  // namespace hessian::models
