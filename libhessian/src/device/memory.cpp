#include "hessian/memory.h"

#include <c10/core/Allocator.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cctype>
#include <cmath>
#include <cstdio>
#include <fstream>
#include <limits>
#include <stdexcept>
#include <utility>

#include "device/device_memory.h"

namespace hessian {
namespace {

/// Counts allocated bytes: LibTorch reports every allocation and release on threads that have it as their debug info.
class AllocationCounter final : public c10::MemoryReportingInfoBase {
 public:
  void reportMemoryUsage(void* /*ptr*/, int64_t alloc_size, size_t /*total_allocated*/, size_t /*total_reserved*/,
                         c10::Device /*device*/) override {
    const int64_t now = current_.fetch_add(alloc_size) + alloc_size;
    int64_t peak = peak_.load();
    while (now > peak && !peak_.compare_exchange_weak(peak, now)) {
    }
  }
  bool memoryProfilingEnabled() const override { return true; }

  int64_t current() const { return current_.load(); }
  int64_t peak() const { return peak_.load(); }
  void set_peak(int64_t bytes) { peak_.store(bytes); }

 private:
  std::atomic<int64_t> current_{0};
  std::atomic<int64_t> peak_{0};
};

std::shared_ptr<AllocationCounter> counter() {
  static const auto instance = std::make_shared<AllocationCounter>();
  return instance;
}

/// Returns the value in bytes of a line "Name:  123 kB" of /proc/meminfo.
std::optional<int64_t> meminfo_bytes(const std::string& name) {
  std::ifstream file("/proc/meminfo");
  std::string key;
  int64_t kibibytes = 0;
  std::string unit;
  while (file >> key >> kibibytes) {
    std::getline(file, unit);
    if (key == name) {
      return kibibytes * 1024;
    }
  }
  return std::nullopt;
}

/// Returns the bytes left below the limit of the control group, if it has one.
std::optional<int64_t> control_group_bytes() {
  int64_t limit = 0;
  int64_t used = 0;
  std::ifstream limit_file("/sys/fs/cgroup/memory.max");
  std::ifstream used_file("/sys/fs/cgroup/memory.current");
  if (limit_file >> limit && used_file >> used) {
    return std::max<int64_t>(limit - used, 0);
  }
  return std::nullopt;
}

}  // namespace

MemoryScope::MemoryScope() {
  const auto shared = counter();
  if (c10::ThreadLocalDebugInfo::get(c10::DebugInfoKind::PROFILER_STATE) != shared.get()) {
    guard_ = std::make_unique<c10::DebugInfoGuard>(c10::DebugInfoKind::PROFILER_STATE, shared);
  }
  start_bytes_ = shared->current();
  outer_peak_bytes_ = shared->peak();
  shared->set_peak(start_bytes_);
}

MemoryScope::~MemoryScope() {
  counter()->set_peak(std::max(outer_peak_bytes_, counter()->peak()));
}

int64_t MemoryScope::current_bytes() const {
  return counter()->current() - start_bytes_;
}

int64_t MemoryScope::peak_bytes() const {
  return counter()->peak() - start_bytes_;
}

std::optional<int64_t> available_memory_bytes(c10::Device device) {
  if (!device.is_cpu()) {
    return free_device_memory_bytes(device);
  }
  const auto free = meminfo_bytes("MemAvailable:");
  const auto allowed = control_group_bytes();
  return free && allowed ? std::min(*free, *allowed) : free ? free : allowed;
}

namespace {
constexpr std::array<std::pair<const char*, double>, 8> byte_units = {{{"KIB", 1024.0},
                                                                       {"MIB", 1048576.0},
                                                                       {"GIB", 1073741824.0},
                                                                       {"TIB", 1099511627776.0},
                                                                       {"KB", 1e3},
                                                                       {"MB", 1e6},
                                                                       {"GB", 1e9},
                                                                       {"TB", 1e12}}};
}  // namespace

std::string format_bytes(int64_t bytes) {
  const auto value = static_cast<double>(bytes);
  const char* unit = "KiB";
  double scale = 1024.0;
  if (value >= 1024.0 * 1048576.0) {
    unit = "GiB";
    scale = 1073741824.0;
  } else if (value >= 1048576.0) {
    unit = "MiB";
    scale = 1048576.0;
  }
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), value / scale < 10 ? "%.1f %s" : "%.0f %s", value / scale, unit);
  return text.data();
}

int64_t parse_bytes(const std::string& text) {
  std::size_t used = 0;
  double number = -1;
  try {
    number = std::stod(text, &used);
  } catch (const std::exception&) {
    number = -1;
  }
  std::string unit;
  for (std::size_t i = used; i < text.size(); ++i) {
    if (std::isspace(static_cast<unsigned char>(text[i])) == 0) {
      unit += static_cast<char>(std::toupper(static_cast<unsigned char>(text[i])));
    }
  }
  double scale = unit.empty() || unit == "B" ? 1.0 : 0.0;
  for (const auto& [name, bytes] : byte_units) {
    scale = unit == name ? bytes : scale;
  }
  const double bytes = number * scale;
  if (!(bytes >= 1) || bytes > 9e18) {
    throw std::invalid_argument("'" + text + "' is not an amount of memory; write it as 8GiB, 512MiB or 2GB");
  }
  return static_cast<int64_t>(bytes);
}

}  // namespace hessian
