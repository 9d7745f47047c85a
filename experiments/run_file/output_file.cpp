#include "run_file/output_file.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <csignal>
#include <cstdio>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>

#include "run_file/hdf5_handle.h"

namespace hessian::experiments {

namespace fs = std::filesystem;

namespace {

[[noreturn]] void refuse(const fs::path& shown, const std::string& why) {
  throw std::runtime_error(shown.string() + ": " + why);
}

[[noreturn]] void refuse_existing(const fs::path& shown) {
  refuse(shown, "already exists; use --overwrite to replace it");
}

fs::path folder_of(const fs::path& file) {
  return file.has_parent_path() ? file.parent_path() : fs::path(".");
}

[[noreturn]] void refuse_folder(const fs::path& shown, const fs::path& folder, int error_number) {
  const std::string name = "folder '" + folder.string() + "' ";
  switch (error_number) {
    case ENOENT:
      if (std::error_code error; fs::is_directory(folder, error)) {  // such as /proc
        refuse(shown, name + "takes no new files; write elsewhere");
      }
      refuse(shown, name + "does not exist; make it first or write elsewhere");
    case ENOTDIR:
      refuse(shown, "'" + folder.string() + "' is not a folder; write elsewhere");
    case ENAMETOOLONG:
      refuse(shown, "the file's name is too long; choose a shorter one");
    default:
      refuse(shown, name + "takes no new file: " + describe_errno(error_number));
  }
}

// The file that `shown` stands for, once nothing speaks against writing it.
fs::path checked_target(const fs::path& shown, bool overwrite) {
  const std::string name = shown.filename().string();
  if (name.empty() || name == "." || name == "..") {
    refuse(shown, "is not the name of a file; expected one such as out/run.h5");
  }
  std::error_code error;
  const fs::file_status link = fs::symlink_status(shown, error);
  if (link.type() == fs::file_type::not_found) {
    return shown;  // a folder that is missing shows when the temporary file is made
  }
  if (link.type() == fs::file_type::none) {
    refuse_folder(shown, folder_of(shown), error.value());
  }
  const fs::file_status status = fs::status(shown, error);
  if (fs::is_directory(status)) {
    refuse(shown, "is a folder; expected the name of a file, such as " + (shown / "run.h5").string());
  }
  if (!fs::is_regular_file(status)) {
    refuse(shown, "exists and is not a regular file; choose another name");
  }
  if (!overwrite) {
    refuse_existing(shown);
  }
  return fs::is_symlink(link) ? fs::canonical(shown) : shown;
}

std::string temporary_prefix(const fs::path& target) {
  return "." + target.filename().string() + ".partial-";
}

// The process that made a temporary file, or 0 if `name` is not a temporary file of this prefix.
pid_t maker_of(std::string_view name, std::string_view prefix) {
  if (!name.starts_with(prefix)) {
    return 0;
  }
  name.remove_prefix(prefix.size());
  pid_t process = 0;
  const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), process);
  return error == std::errc() && end != name.data() + name.size() && *end == '-' ? process : 0;
}

// HDF5 holds a lock on a file that is being made, which is seen from other containers too, where process numbers are
// not.
bool is_locked(const fs::path& file) {
  const int descriptor = ::open(file.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
  if (descriptor < 0) {
    return false;
  }
  const bool locked = ::flock(descriptor, LOCK_SH | LOCK_NB) != 0 && errno == EWOULDBLOCK;
  ::close(descriptor);
  return locked;
}

void remove_stale(const fs::path& target) {
  const std::string prefix = temporary_prefix(target);
  std::error_code error;
  fs::directory_iterator entry(folder_of(target), error);
  for (; !error && entry != fs::directory_iterator(); entry.increment(error)) {
    const pid_t maker = maker_of(entry->path().filename().string(), prefix);
    const bool dead = maker > 0 && ::kill(maker, 0) != 0 && errno == ESRCH;
    if (dead && !is_locked(entry->path())) {
      ::unlink(entry->path().c_str());
    }
  }
}

fs::path make_temporary(const fs::path& target, const fs::path& shown) {
  const std::string prefix = temporary_prefix(target) + std::to_string(::getpid()) + "-";
  for (int number = 0;; ++number) {
    fs::path candidate = folder_of(target) / (prefix + std::to_string(number));
    const int descriptor = ::open(candidate.c_str(), O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, 0666);
    if (descriptor >= 0) {
      ::close(descriptor);
      return candidate;
    }
    if (errno != EEXIST) {
      refuse_folder(shown, folder_of(shown), errno);
    }
  }
}

// Renames without ever replacing; returns 0 or the error.
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
  // A file system with neither (FAT and some network mounts): look, then rename.
  if (::access(to.c_str(), F_OK) == 0) {
    return EEXIST;
  }
  return ::rename(from.c_str(), to.c_str()) == 0 ? 0 : errno;
}

// Writes a file, or a folder's list of names, through to the disk.
void synchronize_to_disk(const fs::path& path, const fs::path& shown) {
  const int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  const int error_number = descriptor < 0 || ::fsync(descriptor) != 0 ? errno : 0;
  if (descriptor >= 0) {
    ::close(descriptor);
  }
  if (is_failed_sync(error_number)) {
    refuse(shown, "cannot be written through to the disk: " + describe_errno(error_number));
  }
}

}  // namespace

void make_folder(const fs::path& path) {
  std::error_code error;
  fs::create_directories(path, error);
  if (error || !fs::is_directory(path, error)) {
    refuse(path, "cannot be made a folder: " + (error ? error.message() : std::string("it is a file")));
  }
}

void ensure_writable_output(const fs::path& path, bool overwrite) {
  TemporaryOutput(path, overwrite);
}

TemporaryOutput::TemporaryOutput(fs::path final_path, bool overwrite)
    : shown_(std::move(final_path)), target_(checked_target(shown_, overwrite)), overwrite_(overwrite) {
  remove_stale(target_);
  temporary_ = make_temporary(target_, shown_);
}

TemporaryOutput::~TemporaryOutput() {
  if (!published_) {
    ::unlink(temporary_.c_str());
  }
}

void TemporaryOutput::publish() {
  synchronize_to_disk(temporary_, shown_);
  const int error_number = overwrite_ ? (::rename(temporary_.c_str(), target_.c_str()) == 0 ? 0 : errno)
                                      : rename_without_replacing(temporary_, target_);
  if (error_number == EEXIST) {
    refuse_existing(shown_);
  }
  if (error_number != 0) {
    refuse(shown_, "cannot be given its name: " + describe_errno(error_number));
  }
  published_ = true;
  synchronize_to_disk(folder_of(target_), shown_);
}

bool is_failed_sync(int error_number) {
  return error_number != 0 && error_number != EINVAL && error_number != ENOTSUP && error_number != EROFS;
}

}  // namespace hessian::experiments
