#pragma once

#include <benchmark/benchmark.h>

#include <functional>
#include <span>

#include "subject.h"

namespace hessian::benchmarks {

/// Seconds spent in one of the things that are compared.
struct Contender {
  std::function<void()> work;
  double seconds = 0;
};

/// Takes contenders in turn within one loop, so that a slow moment of the machine hits them alike; an iteration's time
/// is that of `timed`, one of them.
inline void run_in_turn(benchmark::State& state, std::span<Contender* const> all, const Contender& timed) {
  for (const Contender* contender : all) {
    contender->work();  // the first time records graphs and touches memory
  }
  for (auto _ : state) {
    const double before = timed.seconds;
    for (Contender* contender : all) {
      contender->seconds += seconds_of(contender->work);
    }
    state.SetIterationTime(timed.seconds - before);
  }
}

}  // namespace hessian::benchmarks
