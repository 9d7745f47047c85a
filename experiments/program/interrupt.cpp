#include "program/interrupt.h"

#include <csignal>

namespace hessian::experiments {
namespace {

volatile std::sig_atomic_t signal_arrived = 0;

void install(void (*handler)(int)) {
  struct sigaction action {};
  action.sa_handler = handler;
  action.sa_flags = SA_RESTART;
  sigemptyset(&action.sa_mask);
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
}

/// Sets the flag and restores the default handlers for the second signal.
void set_flag(int /*number*/) {
  signal_arrived = 1;
  install(SIG_DFL);
}

}  // namespace

InterruptGuard::InterruptGuard() {
  signal_arrived = 0;
  install(set_flag);
}

InterruptGuard::~InterruptGuard() {
  install(SIG_DFL);
}

bool InterruptGuard::requested() {
  return signal_arrived != 0;
}

}  // namespace hessian::experiments
