#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string>

namespace hessian::models {

/// A whole file mapped into memory, unmapped when the last pointer to it is released.
///
/// The mapping is private: pages are read when first accessed, and writing through writable_bytes() copies the page
/// instead of changing the file. So tensors can be views of it without a copy and still be ordinary tensors.
/// If another process truncates the file while it is mapped, access terminates the program (SIGBUS); files must be
/// replaced instead, as AtomicFile does.
class MappedFile {
 public:
  /// Maps a file.
  /// \throws std::runtime_error  "ckpt.pt: no such file", "... is empty", "... is a directory", "... permission denied",
  ///                             and for a Git LFS pointer, which takes the place of a file that was not fetched
  static std::shared_ptr<const MappedFile> open(const std::string& path);

  ~MappedFile();
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  const std::string& path() const { return path_; }
  std::span<const std::byte> bytes() const { return {data_, size_}; }
  /// Returns the same memory; writes remain private to this process.
  std::span<std::byte> writable_bytes() const { return {data_, size_}; }

  /// Asks the system to start reading a range.
  void expect(std::size_t begin, std::size_t size) const;
  /// Releases the memory of the pages of a range, which are read again on the next access. Changes to them are lost.
  void release(std::size_t begin, std::size_t size) const;

 private:
  void advise(std::size_t begin, std::size_t size, int advice) const;
  MappedFile(std::string path, std::byte* data, std::size_t size) : path_(std::move(path)), data_(data), size_(size) {}

  std::string path_;
  std::byte* data_;
  std::size_t size_;
};

}  // namespace hessian::models
