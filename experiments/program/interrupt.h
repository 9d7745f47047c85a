#pragma once

namespace hessian::experiments {

/// Catches SIGINT and SIGTERM while it exists: the first signal only sets a flag, so that the program can stop in an
/// orderly way; a second one terminates it at once. The destructor restores the default handlers. Only one guard may
/// exist at a time.
class InterruptGuard {
 public:
  InterruptGuard();
  ~InterruptGuard();
  InterruptGuard(const InterruptGuard&) = delete;
  InterruptGuard& operator=(const InterruptGuard&) = delete;

  /// Returns whether a signal has arrived.
  static bool requested();
};

}  // namespace hessian::experiments
