#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string>

namespace hessian::models {

/// A whole file mapped into memory for as long as somebody holds the pointer.
///
/// The mapping is private: pages are read when first touched, and writing through `writable_bytes` copies the page
/// instead of changing the file. So tensors may lie over it without a copy and still be ordinary tensors.
/// A file that another process cuts short while it is mapped ends the program (SIGBUS); replace files, as AtomicFile
/// does.
class MappedFile {
 public:
  /// \throws std::runtime_error  "ckpt.pt: no such file", "... is empty", "... is a directory", "... permission denied"
  static std::shared_ptr<const MappedFile> open(const std::string& path);

  ~MappedFile();
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  const std::string& path() const { return path_; }
  std::span<const std::byte> bytes() const { return {data_, size_}; }
  /// The same memory; writes stay in this process.
  std::span<std::byte> writable_bytes() const { return {data_, size_}; }

  /// Tells the system that a range will be read soon, so that it reads ahead.
  void expect(std::size_t begin, std::size_t size) const;
  /// Gives the memory of the pages of a range back; they are read again when they are touched again. What was written
  /// to them is lost.
  void release(std::size_t begin, std::size_t size) const;

 private:
  void advise(std::size_t begin, std::size_t size, int advice) const;
  MappedFile(std::string path, std::byte* data, std::size_t size) : path_(std::move(path)), data_(data), size_(size) {}

  std::string path_;
  std::byte* data_;
  std::size_t size_;
};

}  // namespace hessian::models
