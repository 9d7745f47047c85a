#include "program/interrupt.h"

#include <csignal>

namespace hessian::experiments {
namespace {

volatile std::sig_atomic_t signal_came = 0;

void install(void (*handler)(int)) {
  struct sigaction action {};
  action.sa_handler = handler;
  action.sa_flags = SA_RESTART;
  sigemptyset(&action.sa_mask);
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
}

/// The second signal, whichever of the two it is, meets the system's own handler.
void take_note(int /*number*/) {
  signal_came = 1;
  install(SIG_DFL);
}

}  // namespace

InterruptGuard::InterruptGuard() {
  signal_came = 0;
  install(take_note);
}

InterruptGuard::~InterruptGuard() {
  install(SIG_DFL);
}

bool InterruptGuard::requested() {
  return signal_came != 0;
}

}  // namespace hessian::experiments
