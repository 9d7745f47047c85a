#pragma once

#include <c10/core/Device.h>
#include <c10/util/ThreadLocalDebugInfo.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

namespace hessian {

/// Counts the bytes allocated by LibTorch during the scope, on all devices together. Scopes nest: an outer scope also
/// counts what an inner one counts. Memory allocated before the outermost scope is not counted.
class MemoryScope {
 public:
  MemoryScope();
  ~MemoryScope();
  MemoryScope(const MemoryScope&) = delete;
  MemoryScope& operator=(const MemoryScope&) = delete;

  /// Returns the bytes allocated now minus those allocated when the scope began.
  int64_t current_bytes() const;
  /// Returns the maximum of current_bytes() since the scope began.
  int64_t peak_bytes() const;

 private:
  std::unique_ptr<c10::DebugInfoGuard> guard_;
  int64_t start_bytes_;
  int64_t outer_peak_bytes_;
};

/// Returns the bytes that are still available on the device, or nothing if that is unknown.
std::optional<int64_t> available_memory_bytes(c10::Device device);

/// Formats an amount of memory: "812 MiB", "7.9 GiB".
std::string format_bytes(int64_t bytes);

/// Parses "8GiB", "512 MiB", "2GB", "1000000" (bytes).
/// \throws std::invalid_argument  naming the accepted forms
int64_t parse_bytes(const std::string& text);

}  // namespace hessian
