#include "io/atomic_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <csignal>
#include <cstdio>
#include <system_error>
#include <utility>

#include "io/messages.h"
#include "io/system_error_text.h"

namespace hessian::models {

namespace fs = std::filesystem;

namespace {

constexpr std::string_view marker = ".partial-";

[[noreturn]] void refuse_existing(const fs::path& shown) {
  fail(shown.string(), "already exists; use --overwrite to replace it");
}

fs::path folder_of(const fs::path& file) {
  return file.has_parent_path() ? file.parent_path() : fs::path(".");
}

/// Throws the error of a folder in which no file can be created.
[[noreturn]] void refuse_folder(const fs::path& shown, const fs::path& folder, int error_number) {
  const std::string file = shown.string();
  const std::string name = folder.string();
  std::error_code error;
  switch (error_number) {
    case ENOENT:
      if (fs::is_directory(folder, error)) {  // such as /proc
        fail(file, "folder '{}' takes no new files; write elsewhere", name);
      }
      fail(file, "folder '{}' does not exist; make it first or write elsewhere", name);
    case ENOTDIR:
      fail(file, "'{}' is not a folder; write elsewhere", name);
    case ENAMETOOLONG:
      fail(file, "the file's name is too long; choose a shorter one");
    default:
      fail(file, "folder '{}' takes no new file: {}", name, write_error_text(error_number));
  }
}

/// Returns the file that `shown` names, with symbolic links resolved, after checking that it may be written.
fs::path checked_target(const fs::path& shown, bool overwrite) {
  const std::string name = shown.filename().string();
  if (shown.empty()) {
    fail("", "is not the name of a file");
  }
  if (name.empty() || name == "." || name == "..") {
    fail(shown.string(), "is the name of a folder; expected that of a file");
  }
  std::error_code error;
  const fs::file_status link = fs::symlink_status(shown, error);
  if (link.type() == fs::file_type::not_found) {
    return shown;  // whether its folder exists is found when the temporary file is created
  }
  if (link.type() == fs::file_type::none) {
    refuse_folder(shown, folder_of(shown), error.value());
  }
  const fs::file_status status = fs::status(shown, error);
  if (fs::is_directory(status)) {
    fail(shown.string(), "is a folder; expected the name of a file");
  }
  if (!fs::is_regular_file(status)) {
    fail(shown.string(), "exists and is not a regular file; choose another name");
  }
  if (!overwrite) {
    refuse_existing(shown);
  }
  return fs::is_symlink(link) ? fs::canonical(shown) : shown;
}

/// Returns the process in the name of a temporary file, `.NAME.partial-PID-N`, or 0 for any other name.
pid_t maker_of(std::string_view name) {
  const std::size_t found = name.rfind(marker);
  if (found == std::string_view::npos || !name.starts_with('.')) {
    return 0;
  }
  const char* const end = name.data() + name.size();
  pid_t process = 0;
  const auto [dash, process_error] = std::from_chars(name.data() + found + marker.size(), end, process);
  if (process_error != std::errc() || dash == end || *dash != '-') {
    return 0;
  }
  int number = 0;
  const auto [rest, number_error] = std::from_chars(dash + 1, end, number);
  return number_error == std::errc() && rest == end ? process : 0;
}

enum class Lock { taken, held_by_another, unavailable };

/// Locks an open file until all copies of the descriptor are closed.
Lock lock(int descriptor) {
  struct flock whole_file {};
  whole_file.l_type = F_WRLCK;
  whole_file.l_whence = SEEK_SET;
  if (::fcntl(descriptor, F_OFD_SETLK, &whole_file) == 0) {
    return Lock::taken;
  }
  return errno == EAGAIN || errno == EACCES ? Lock::held_by_another : Lock::unavailable;
}

/// Returns whether `path` still names the open file: another process may have renamed or removed it.
bool is_named(int descriptor, const fs::path& path) {
  struct stat opened {};
  struct stat named {};
  return ::fstat(descriptor, &opened) == 0 && ::lstat(path.c_str(), &named) == 0 && opened.st_ino == named.st_ino &&
         opened.st_dev == named.st_dev;
}

void remove_if_abandoned(const fs::path& temporary, pid_t maker) {
  const int descriptor = ::open(temporary.c_str(), O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
  if (descriptor < 0) {
    return;
  }
  const Lock found = lock(descriptor);
  const bool dead = found == Lock::taken || (found == Lock::unavailable && ::kill(maker, 0) != 0 && errno == ESRCH);
  if (dead && is_named(descriptor, temporary)) {
    ::unlink(temporary.c_str());
  }
  ::close(descriptor);
}

/// Removes the abandoned temporary files in a folder whose names begin with `prefix`.
void remove_abandoned(const fs::path& folder, const std::string& prefix) {
  std::error_code error;
  fs::directory_iterator entry(folder, error);
  for (; !error && entry != fs::directory_iterator(); entry.increment(error)) {
    const std::string name = entry->path().filename().string();
    const pid_t maker = name.starts_with(prefix) ? maker_of(name) : 0;
    if (maker > 0) {
      remove_if_abandoned(entry->path(), maker);
    }
  }
}

std::string temporary_prefix(const fs::path& target) {
  return "." + target.filename().string() + std::string(marker);
}

/// Renames without ever replacing a file; returns 0 or the error.
int rename_without_replacing(const fs::path& from, const fs::path& to) {
  if (::renameat2(AT_FDCWD, from.c_str(), AT_FDCWD, to.c_str(), RENAME_NOREPLACE) == 0) {
    return 0;
  }
  if (errno != EINVAL && errno != ENOSYS && errno != ENOTSUP) {
    return errno;
  }
  if (::link(from.c_str(), to.c_str()) == 0) {
    ::unlink(from.c_str());
    return 0;
  }
  if (errno != EPERM && errno != ENOSYS && errno != ENOTSUP && errno != EMLINK) {
    return errno;
  }
  // The file system supports neither call (FAT and some network mounts). Another process may create the file between
  // access() and rename().
  if (::access(to.c_str(), F_OK) == 0) {
    return EEXIST;
  }
  return ::rename(from.c_str(), to.c_str()) == 0 ? 0 : errno;
}

[[noreturn]] void refuse_flush(const fs::path& shown, int error_number) {
  fail(shown.string(), "cannot be flushed to the disk: {}", write_error_text(error_number));
}

}  // namespace

AtomicFile::AtomicFile(fs::path path, bool overwrite)
    : shown_(std::move(path)), target_(checked_target(shown_, overwrite)), overwrite_(overwrite) {
  const fs::path folder = folder_of(target_);
  remove_abandoned(folder, temporary_prefix(target_));
  const std::string stem = temporary_prefix(target_) + std::to_string(::getpid()) + "-";
  for (int number = 0; descriptor_ < 0; ++number) {
    const fs::path candidate = folder / (stem + std::to_string(number));
    const int descriptor = ::open(candidate.c_str(), O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, 0666);
    if (descriptor < 0 && errno != EEXIST) {
      refuse_folder(shown_, folder_of(shown_), errno);
    }
    if (descriptor < 0) {
      continue;
    }
    // Between open() and lock(), another writer may mistake the file for an abandoned one and remove it.
    if (lock(descriptor) != Lock::held_by_another && is_named(descriptor, candidate)) {
      descriptor_ = descriptor;
      temporary_ = candidate;
    } else {
      ::close(descriptor);
    }
  }
}

AtomicFile::~AtomicFile() {
  discard();
}

void AtomicFile::write(std::span<const std::byte> bytes) {
  // Linux writes at most 0x7ffff000 bytes per call.
  constexpr std::size_t max_bytes_per_call = std::size_t{1} << 30;
  for (std::size_t done = 0; done < bytes.size();) {
    const std::size_t count = std::min(bytes.size() - done, max_bytes_per_call);
    const ssize_t written = ::write(descriptor_, bytes.data() + done, count);
    if (written < 0 && errno == EINTR) {
      continue;
    }
    if (written < 0) {
      const int error = errno;
      fail(shown_.string(), "cannot write {} bytes: {}", bytes.size(), write_error_text(error));
    }
    done += static_cast<std::size_t>(written);
  }
}

void AtomicFile::commit() {
  if (const int error = flush_to_disk(descriptor_); error != 0) {
    refuse_flush(shown_, error);
  }
  // Some file systems (NFS) report a full disk only when a descriptor is closed. A second descriptor keeps the lock.
  const int second = ::fcntl(descriptor_, F_DUPFD_CLOEXEC, 0);
  const int close_error = ::close(std::exchange(descriptor_, second)) != 0 ? errno : 0;
  if (close_error != 0) {
    refuse_flush(shown_, close_error);
  }
  const int error = overwrite_ ? (::rename(temporary_.c_str(), target_.c_str()) == 0 ? 0 : errno)
                               : rename_without_replacing(temporary_, target_);
  if (error == EEXIST) {
    refuse_existing(shown_);
  }
  if (error != 0) {
    fail(shown_.string(), "cannot rename the temporary file to it: {}", write_error_text(error));
  }
  temporary_.clear();
  discard();
  // The rename is permanent once the folder is flushed.
  const int folder = ::open(folder_of(target_).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (folder >= 0) {
    const int folder_error = flush_to_disk(folder);
    ::close(folder);
    if (folder_error != 0) {
      refuse_flush(shown_, folder_error);
    }
  }
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

void write_file(const fs::path& path, std::string_view contents, bool overwrite) {
  AtomicFile file(path, overwrite);
  file.write(std::as_bytes(std::span(contents)));
  file.commit();
}

void remove_half_written(const fs::path& folder, const std::string& prefix) {
  remove_abandoned(folder, "." + prefix);
}

int flush_to_disk(int descriptor) {
  const int error = ::fsync(descriptor) != 0 ? errno : 0;
  return error == EINVAL || error == ENOTSUP || error == EROFS ? 0 : error;
}

}  // namespace hessian::models
