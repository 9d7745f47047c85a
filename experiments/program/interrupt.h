#pragma once

namespace hessian::experiments {

/// From its making on, SIGINT and SIGTERM only set a flag, so that the program can finish what it is at; a second
/// signal ends it at once. The destructor restores what was there before. One at a time.
class InterruptGuard {
 public:
  InterruptGuard();
  ~InterruptGuard();
  InterruptGuard(const InterruptGuard&) = delete;
  InterruptGuard& operator=(const InterruptGuard&) = delete;

  /// Whether a signal has come.
  static bool requested();
};

}  // namespace hessian::experiments
