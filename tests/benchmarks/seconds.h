#pragma once

#include <chrono>

namespace hessian::benchmarks {

/// Runs the work once and returns its wall-clock time in seconds.
template <class Work>
double seconds_of(const Work& work) {
  const auto start = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

}  // namespace hessian::benchmarks
