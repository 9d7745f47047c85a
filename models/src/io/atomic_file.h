#pragma once

#include <cstddef>
#include <filesystem>
#include <span>
#include <string>

namespace hessian::models {

/// Writes a file so that, whatever happens, a reader finds the old file or the whole new one.
///
/// The bytes go to a temporary file in the same folder, which `commit` flushes to the disk and renames; a destructor
/// without a commit removes it. What a killed process leaves of one, the next writer of the same file takes over.
/// ```cpp
/// AtomicFile file("out/model.safetensors");
/// file.write(header);
/// file.write(weights);
/// file.commit();
/// ```
class AtomicFile {
 public:
  /// \throws std::runtime_error  "out/model.safetensors: cannot write into folder 'out': no such file or directory"
  explicit AtomicFile(std::string path);
  ~AtomicFile();
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;

  /// \throws std::runtime_error  "out/model.safetensors: cannot write 4096 bytes: no space left on device"
  void write(std::span<const std::byte> bytes);
  void commit();

 private:
  [[noreturn]] void fail(const std::string& action, int error) const;
  void discard() noexcept;

  std::string path_;
  std::string folder_;
  std::string temporary_;
  int descriptor_ = -1;
};

/// Removes what killed processes left half-written in a folder of files whose names begin with `prefix`, as far as it
/// can be removed. Nobody may be writing such a file.
void remove_half_written(const std::filesystem::path& folder, const std::string& prefix);

}  // namespace hessian::models
