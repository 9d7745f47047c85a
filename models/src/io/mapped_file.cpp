#include "io/mapped_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>

#include "io/byte_reader.h"
#include "io/messages.h"
#include "io/system_error_text.h"

namespace hessian::models {
namespace {

/// Closes the descriptor, which a mapping does not need.
struct Descriptor {
  int number;
  explicit Descriptor(int opened) : number(opened) {}
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  ~Descriptor() {
    if (number >= 0) {
      ::close(number);
    }
  }
};

/// Refuses the small text file that a Git clone holds in place of a large file until Git LFS fetches that.
/// Source: the Git LFS specification, docs/spec.md, "The Pointer".
void refuse_lfs_pointer(std::span<const std::byte> bytes, const std::string& path) {
  constexpr std::size_t largest_pointer = 1024;
  if (bytes.size() < largest_pointer && as_text(bytes).starts_with("version https://git-lfs.github.com/spec/")) {
    fail(path, "is a Git LFS pointer, not the file itself; run `git lfs pull` in its folder");
  }
}

}  // namespace

std::shared_ptr<const MappedFile> MappedFile::open(const std::string& path) {
  // O_NONBLOCK prevents waiting for a named pipe, which is refused below; it has no effect on a file.
  const Descriptor descriptor(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  const int open_error = errno;
  if (descriptor.number < 0) {
    fail(path, "{}", open_error == ENOENT ? "no such file" : system_error_text(open_error));
  }
  struct stat status {};
  if (::fstat(descriptor.number, &status) != 0) {
    const int error = errno;
    fail(path, "{}", system_error_text(error));
  }
  if (S_ISDIR(status.st_mode)) {
    fail(path, "is a directory, expected a file");
  }
  if (!S_ISREG(status.st_mode)) {
    fail(path, "is not a regular file; pipes and devices are not supported");
  }
  if (status.st_size == 0) {
    fail(path, "is empty");
  }
  const auto size = static_cast<std::size_t>(status.st_size);
  // Without MAP_NORESERVE the system reserves memory for copying every page of a writable private mapping.
  void* data = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_NORESERVE, descriptor.number, 0);
  if (data == MAP_FAILED) {
    const int error = errno;
    fail(path, "cannot map {} bytes: {}", size, system_error_text(error));
  }
  std::shared_ptr<const MappedFile> file(new MappedFile(path, static_cast<std::byte*>(data), size));
  refuse_lfs_pointer(file->bytes(), path);
  return file;
}

void MappedFile::advise(std::size_t begin, std::size_t size, int advice) const {
  const auto page = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
  const std::size_t first = std::min(begin, size_) / page * page;
  const std::size_t end = std::min(size_, begin + size);
  if (end > first) {
    ::madvise(data_ + first, end - first, advice);  // a hint: its failure has no effect
  }
}

void MappedFile::expect(std::size_t begin, std::size_t size) const {
  advise(begin, size, MADV_WILLNEED);
}

void MappedFile::release(std::size_t begin, std::size_t size) const {
  advise(begin, size, MADV_DONTNEED);
}

MappedFile::~MappedFile() {
  ::munmap(data_, size_);
}

}  // namespace hessian::models
