#pragma once

#include <chrono>

namespace hessian::benchmarks {

/// Runs `action` once and returns its wall-clock time in seconds.
template <class Action>
double seconds_of(const Action& action) {
  const auto start = std::chrono::steady_clock::now();
  action();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

}  // namespace hessian::benchmarks
