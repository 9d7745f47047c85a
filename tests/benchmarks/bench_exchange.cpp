#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdio>
#include <exception>
#include <vector>

#include "distributed/process_group.h"
#include "program/job_place.h"
#include "reproduce/step_times.h"
#include "subject.h"

// What the processes of a job spend on messages, to be started as several of them (scripts/run_job.sh 2 bench_exchange):
// a line t = a + b V is fitted to exchanges of V bytes, and says what an update of a model should cost beside its
// arithmetic; updates of models are timed, and show whether that is so.

namespace {

using namespace hessian::experiments;
using hessian::benchmarks::seconds_of;

/// Bytes that each process sends for an update of `bytes` of parameters: a reduce-scatter and an all-gather. Gloo does
/// the first by an all-reduce, which sends twice as much.
double volume(double bytes, int size) {
  return 3.0 * (size - 1) / size * bytes;
}

double median_of(std::vector<double> values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

double exchange_seconds(const ProcessGroup& group, int64_t floats) {
  const at::Tensor whole = at::ones({floats / group.size() * group.size()});
  std::vector<double> seconds;
  for (int i = 0; i < 9; ++i) {
    group.barrier();
    seconds.push_back(seconds_of([&] { group.all_gather(group.reduce_scatter(whole)); }));
  }
  return median_of(seconds);
}

struct Line {
  double constant = 0;
  double slope = 0;
};

/// Weighted so that small and large exchanges count alike: least squares of the relative error.
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

TrainConfig config_of(const std::string& model, int64_t batch_size) {
  TrainConfig config;
  config.steps = 1'000'000;
  config.device = "cpu";
  config.model.name = model;
  config.data.batch_size = batch_size;
  config.validation.every = 0;
  return config;
}

int64_t parameter_bytes(const Training& training) {
  int64_t count = 0;
  for (const auto& [name, parameter] : training.forward().parameters()) {
    count += parameter.numel();
  }
  return count * 4;
}

/// An update of all together, and one of each process alone with as many sequences of its own, in turn.
void compare(const ProcessGroup& group, const std::string& model, int64_t sequences, const Line& line) {
  Training together = fresh_training(config_of(model, sequences * group.size()), group);
  Training alone = fresh_training(config_of(model, sequences));
  std::vector<double> with_messages;
  std::vector<double> without;
  for (int i = 0; i < 12; ++i) {
    group.barrier();
    const double here = seconds_of([&] { alone.update(); });
    group.barrier();
    const double all = seconds_of([&] { together.update(); });
    if (i >= 2) {  // the first ones touch their memory for the first time
      without.push_back(here);
      with_messages.push_back(all);
    }
  }
  const auto bytes = static_cast<double>(parameter_bytes(together));
  const double predicted = median_of(without) + line.constant + line.slope * volume(bytes, group.size());
  if (group.is_first()) {
    fmt::print(
        "{} {}, {} sequences each: update alone {:.4f} s, together {:.4f} s, predicted {:.4f} s, measured/predicted "
        "{:.2f}, efficiency {:.2f}\n",
        group.size(), model, sequences, median_of(without), median_of(with_messages), predicted,
        median_of(with_messages) / predicted, median_of(without) / median_of(with_messages));
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
  // Every process has to predict from the same line.
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

int main() {
  try {
    at::set_num_threads(1);
    const ProcessGroup group = ProcessGroup::join(job_place(), at::kCPU);
    if (group.is_alone()) {
      std::fputs("bench_exchange: is to be started as several processes: scripts/run_job.sh 2 bench_exchange\n",
                 stderr);
      return 2;
    }
    measure(group);
    return 0;
  } catch (const std::exception& error) {
    fmt::print(stderr, "bench_exchange: {}\n", error.what());
    return 1;
  }
}
