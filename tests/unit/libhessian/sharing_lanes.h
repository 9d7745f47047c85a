#pragma once

#include <barrier>
#include <cstddef>
#include <cstdint>
#include <thread>
#include <vector>

// Runs passes over rows on the host as a CUDA device does, with several lanes per row: each lane is a thread, and sums go
// through shared memory. An entry that a lane skips or processes twice shows up in the comparison with the host's single
// lane.

namespace hessian::support {

inline constexpr int64_t lane_count = 5;

/// Memory and barrier that the lanes of a row share.
struct Meeting {
  std::barrier<> barrier{lane_count};
  std::vector<double> values = std::vector<double>(lane_count);
  std::vector<double> scratch = std::vector<double>(4096);
};

/// One lane of several.
/// \tparam entries  entries that the lane processes at once
template <int entries = 1>
struct SharingLanes {
  int64_t first;
  Meeting* meeting;
  static constexpr int64_t step = lane_count;
  static constexpr int pack = entries;

  template <class T>
  T sum(T mine) const {
    return combine(mine, [](T a, T b) { return a + b; });
  }
  template <class T>
  T max(T mine) const {
    return combine(mine, [](T a, T b) { return b > a ? b : a; });
  }
  template <class T>
  T* scratch(T* /*result*/) const {
    return reinterpret_cast<T*>(meeting->scratch.data());
  }

 private:
  template <class T, class Combine>
  T combine(T mine, const Combine& combine) const {
    meeting->barrier.arrive_and_wait();
    meeting->values[static_cast<std::size_t>(first)] = static_cast<double>(mine);
    meeting->barrier.arrive_and_wait();
    auto total = static_cast<T>(meeting->values[0]);
    for (std::size_t lane = 1; lane < meeting->values.size(); ++lane) {
      total = combine(total, static_cast<T>(meeting->values[lane]));
    }
    return total;
  }
};

/// Runs a pass with several lanes, row by row.
template <int entries = 1, class Pass>
void run_by_lanes(const Pass& pass, int64_t rows) {
  Meeting meeting;
  std::vector<std::thread> lanes;
  for (int64_t first = 0; first < lane_count; ++first) {
    lanes.emplace_back([&pass, &meeting, rows, first] {
      for (int64_t row = 0; row < rows; ++row) {
        pass(SharingLanes<entries>{first, &meeting}, row);
      }
    });
  }
  for (std::thread& lane : lanes) {
    lane.join();
  }
}

}  // namespace hessian::support
