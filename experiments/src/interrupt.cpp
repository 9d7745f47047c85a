#include "experiments/interrupt.h"

#include <csignal>

namespace experiments {
namespace {

volatile std::sig_atomic_t signal_came = 0;

void take_note(int /*number*/) {
  signal_came = 1;
}

void install(void (*handler)(int), unsigned flags) {
  struct sigaction action {};
  action.sa_handler = handler;
  action.sa_flags = static_cast<int>(flags);
  sigemptyset(&action.sa_mask);
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
}

}  // namespace

InterruptGuard::InterruptGuard() {
  signal_came = 0;
  // SA_RESETHAND: the second signal meets the system's own handler.
  install(take_note, static_cast<unsigned>(SA_RESETHAND) | static_cast<unsigned>(SA_RESTART));
}

InterruptGuard::~InterruptGuard() {
  install(SIG_DFL, 0);
}

bool InterruptGuard::requested() {
  return signal_came != 0;
}

}  // namespace experiments
