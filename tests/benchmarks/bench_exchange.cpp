#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <fmt/format.h>

#include <cstdio>
#include <exception>
#include <vector>

#include "distributed/process_group.h"
#include "program/job_place.h"
#include "program/statistics.h"
#include "reproduce/step_times.h"
#include "subject.h"
#include "training_config.h"

// Measures the time that the processes of a job spend on messages; start it as several processes (scripts/run_job.sh 2
// bench_exchange). It fits a line t = a + b V to exchanges of V bytes, predicts from it the time that a model's update
// takes besides its arithmetic, and times updates of models to check the prediction.

namespace hessian::benchmarks {
namespace {

using namespace experiments;

/// Returns the bytes that each process sends for an update of `bytes` of parameters: a reduce-scatter and an all-gather.
/// Gloo implements the first by an all-reduce, which sends twice as much.
double volume(double bytes, int size) {
  return 3.0 * (size - 1) / size * bytes;
}

double exchange_seconds(const ProcessGroup& group, int64_t floats) {
  const at::Tensor whole = at::ones({floats / group.size() * group.size()});
  std::vector<double> seconds;
  for (int i = 0; i < 9; ++i) {
    group.barrier();
    seconds.push_back(seconds_of([&] { group.all_gather(group.reduce_scatter(whole)); }));
  }
  return median(seconds);
}

struct Line {
  double constant = 0;
  double slope = 0;
};

/// Fits y = constant + slope * x by least squares of the relative error, so that small and large exchanges count alike.
Line fit(const std::vector<double>& x, const std::vector<double>& y) {
  double w = 0, wx = 0, wxx = 0, wy = 0, wxy = 0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    const double weight = 1 / (y[i] * y[i]);
    w += weight;
    wx += weight * x[i];
    wxx += weight * x[i] * x[i];
    wy += weight * y[i];
    wxy += weight * x[i] * y[i];
  }
  const double slope = (w * wxy - wx * wy) / (w * wxx - wx * wx);
  return {(wy - slope * wx) / w, slope};
}

int64_t parameter_bytes(const Training& training) {
  int64_t count = 0;
  for (const auto& [name, parameter] : training.forward().parameters()) {
    count += parameter.numel();
  }
  return count * 4;
}

/// Times, in turn, updates of all processes together and updates of each process alone with the same number of
/// sequences per process.
void compare(const ProcessGroup& group, const std::string& model, int64_t sequences, const Line& line) {
  Training together = fresh_training(timed_training(model, sequences * group.size()), group);
  Training alone = fresh_training(timed_training(model, sequences));
  std::vector<double> with_messages;
  std::vector<double> without;
  for (int i = 0; i < 12; ++i) {
    group.barrier();
    const double here = seconds_of([&] { alone.update(); });
    group.barrier();
    const double all = seconds_of([&] { together.update(); });
    if (i >= 2) {  // the first updates allocate their memory
      without.push_back(here);
      with_messages.push_back(all);
    }
  }
  const auto bytes = static_cast<double>(parameter_bytes(together));
  const double predicted = median(without) + line.constant + line.slope * volume(bytes, group.size());
  if (group.is_first()) {
    fmt::print(
        "{} {}, {} sequences each: update alone {:.4f} s, together {:.4f} s, predicted {:.4f} s, measured/predicted "
        "{:.2f}, efficiency {:.2f}\n",
        group.size(), model, sequences, median(without), median(with_messages), predicted,
        median(with_messages) / predicted, median(without) / median(with_messages));
  }
}

void measure(const ProcessGroup& group) {
  exchange_seconds(group, 1 << 12);  // the first messages open the connections
  std::vector<double> volumes;
  std::vector<double> seconds;
  for (int64_t floats = 1 << 12; floats <= 1 << 24; floats *= 8) {
    volumes.push_back(volume(4.0 * static_cast<double>(floats), group.size()));
    seconds.push_back(exchange_seconds(group, floats));
  }
  // Every process predicts from the same line.
  at::Tensor times = at::tensor(seconds, at::kDouble);
  group.broadcast(times);
  seconds.assign(times.data_ptr<double>(), times.data_ptr<double>() + times.numel());
  const Line line = fit(volumes, seconds);
  if (group.is_first()) {
    for (std::size_t i = 0; i < volumes.size(); ++i) {
      fmt::print("{} processes, {:.3g} bytes sent by each: {:.3g} s, fitted {:.3g} s\n", group.size(), volumes[i],
                 seconds[i], line.constant + line.slope * volumes[i]);
    }
    fmt::print("{} processes: {:.3g} s and {:.3g} bytes/s\n", group.size(), line.constant, 1 / line.slope);
  }
  compare(group, "new:llama2-20M-prenorm", 2, line);
  compare(group, "new:llama2-20M-simplegpt", 4, line);
  compare(group, "new:llama2-60M-prenorm", 2, line);
}

}  // namespace
}  // namespace hessian::benchmarks

int main() {
  try {
    at::set_num_threads(1);
    const auto group = hessian::experiments::ProcessGroup::join(hessian::experiments::job_place(), at::kCPU);
    if (group.is_alone()) {
      std::fputs("bench_exchange: start it as several processes: scripts/run_job.sh 2 bench_exchange\n", stderr);
      return 2;
    }
    hessian::benchmarks::measure(group);
    return 0;
  } catch (const std::exception& error) {
    fmt::print(stderr, "bench_exchange: {}\n", error.what());
    return 1;
  }
}
