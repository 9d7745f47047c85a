#pragma once

#include <c10/core/Device.h>
#include <c10/util/ThreadLocalDebugInfo.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

namespace hessian {

/// Counts the bytes that LibTorch's allocators hand out, on every device together, while it lives. Scopes nest: what an
/// inner one sees, the outer ones see too. Memory taken before the outermost scope began is not counted.
class MemoryScope {
 public:
  MemoryScope();
  ~MemoryScope();
  MemoryScope(const MemoryScope&) = delete;
  MemoryScope& operator=(const MemoryScope&) = delete;

  /// Bytes held now beyond those held when the scope began.
  int64_t current_bytes() const;
  /// The largest value that current_bytes() had.
  int64_t peak_bytes() const;

 private:
  std::unique_ptr<c10::DebugInfoGuard> guard_;
  int64_t start_bytes_;
  int64_t outer_peak_bytes_;
};

/// Bytes that a computation on the device may still take, or nothing where that is not known.
std::optional<int64_t> available_memory_bytes(c10::Device device);

/// "812 MiB", "7.9 GiB".
std::string format_bytes(int64_t bytes);

/// Reads "8GiB", "512 MiB", "2GB", "1000000" (bytes).
/// \throws std::invalid_argument  naming the accepted forms
int64_t parse_bytes(const std::string& text);

}  // namespace hessian
