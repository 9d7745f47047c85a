#pragma once

#include <benchmark/benchmark.h>

#include <functional>
#include <span>

#include "subject.h"

namespace hessian::benchmarks {

/// One of the computations that are compared, and the seconds spent in it so far.
struct Contender {
  std::function<void()> work;
  double seconds = 0;
};

/// Runs the contenders in turn within one loop, so that a slow moment of the machine affects all of them. The time of an
/// iteration is that of `timed`, one of them.
inline void run_in_turn(benchmark::State& state, std::span<Contender* const> all, const Contender& timed) {
  for (const Contender* contender : all) {
    contender->work();  // the first run records graphs and touches memory
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
