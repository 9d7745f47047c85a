#include <benchmark/benchmark.h>

#include "program/statistics.h"
#include "reproduce/step_times.h"
#include "subject.h"
#include "training_config.h"

// Times training steps on the CPU, and measures the cost of SimpleNorm's additional norms. device_times measures both
// on a CUDA device.

namespace hessian::benchmarks {
namespace {

using experiments::fresh_training;
using experiments::median;
using experiments::TrainConfig;
using experiments::Training;

TrainConfig config_of(const std::string& model, int64_t vocab_size, int64_t sequences, int64_t seq_len) {
  TrainConfig config = timed_training(model, sequences);
  config.model.vocab_size = vocab_size;
  config.data.seq_len = seq_len;
  return config;
}

/// Runs the first updates, which allocate their memory.
void warm_up(Training& training) {
  for (int i = 0; i < 3; ++i) {
    training.update();
  }
}

void train_step(benchmark::State& state, const std::string& model, int64_t vocab_size, int64_t sequences,
                int64_t seq_len) {
  Training training = fresh_training(config_of(model, vocab_size, sequences, seq_len));
  warm_up(training);
  std::vector<double> all;
  for (auto _ : state) {
    all.push_back(seconds_of([&] { training.update(); }));
    state.SetIterationTime(all.back());
  }
  state.counters["median_seconds"] = median(all);
  state.counters["tokens_per_second"] = static_cast<double>(training.tokens_per_update()) / median(all);
}

/// Measures the ratio of SimpleNorm's step time to PreNorm's at equal width. The steps run in turn.
void normalisation_overhead(benchmark::State& state, const std::string& size, int64_t vocab_size, int64_t sequences,
                            int64_t seq_len) {
  Training prenorm = fresh_training(config_of(size + "-prenorm", vocab_size, sequences, seq_len));
  Training preqknorm = fresh_training(config_of(size + "-preqknorm", vocab_size, sequences, seq_len));
  Training simple = fresh_training(config_of(size + "-simplegpt", vocab_size, sequences, seq_len));
  warm_up(prenorm);
  warm_up(preqknorm);
  warm_up(simple);
  std::vector<double> prenorm_seconds;
  std::vector<double> preqknorm_seconds;
  std::vector<double> simple_seconds;
  for (auto _ : state) {
    prenorm_seconds.push_back(seconds_of([&] { prenorm.update(); }));
    preqknorm_seconds.push_back(seconds_of([&] { preqknorm.update(); }));
    simple_seconds.push_back(seconds_of([&] { simple.update(); }));
    state.SetIterationTime(simple_seconds.back());
  }
  state.counters["normalisation_overhead"] = median(simple_seconds) / median(prenorm_seconds);
  state.counters["preqknorm_overhead"] = median(preqknorm_seconds) / median(prenorm_seconds);
}

void add_step(const std::string& name, const std::string& model, int64_t vocab_size, int64_t sequences,
              int64_t seq_len) {
  benchmark::RegisterBenchmark(("train_step/" + name).c_str(), train_step, model, vocab_size, sequences, seq_len)
      ->UseManualTime()
      ->Unit(benchmark::kMillisecond);
}

void add_overhead(const std::string& name, const std::string& size, int64_t vocab_size, int64_t sequences,
                  int64_t seq_len) {
  benchmark::RegisterBenchmark(("normalisation_overhead/" + name).c_str(), normalisation_overhead, size, vocab_size,
                               sequences, seq_len)
      ->UseManualTime()
      ->MinTime(6)
      ->Unit(benchmark::kMillisecond);
}

const bool registered = [] {
  add_step("llama2_20M_prenorm_8x128_bytes", "new:llama2-20M-prenorm", 256, 8, 128);
  add_step("llama2_20M_preqknorm_8x128_bytes", "new:llama2-20M-preqknorm", 256, 8, 128);
  add_step("llama2_20M_simplegpt_8x128_bytes", "new:llama2-20M-simplegpt", 256, 8, 128);
  add_step("llama2_20M_prenorm_4x128", "new:llama2-20M-prenorm", 0, 4, 128);
  add_step("llama2_134M_prenorm_2x128_bytes", "new:llama2-134M-prenorm", 256, 2, 128);
  add_step("gpt2_10M_prenorm_8x128_bytes", "new:gpt2-10M-prenorm", 256, 8, 128);
  add_overhead("llama2_20M_8x128_bytes", "new:llama2-20M", 256, 8, 128);
  add_overhead("llama2_134M_2x128_bytes", "new:llama2-134M", 256, 2, 128);
  return true;
}();

}  // namespace
}  // namespace hessian::benchmarks
