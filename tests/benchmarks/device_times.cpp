#include <c10/core/GradMode.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <exception>
#include <iostream>
#include <memory>
#include <string>
#include <vector>

#include "config/dtype.h"
#include "device_limits.h"
#include "hessian/device.h"
#include "hessian/models/forward.h"
#include "hessian/models/named_models.h"
#include "hessian/tape_operator.h"
#include "program/statistics.h"
#include "reproduce/step_times.h"
#include "training_config.h"

// Measures how close training steps and Hessian-vector products come to the limits of a device, and the cost of
// SimpleNorm on it. The limits are measured in the same run. scripts/measure_gpu.sh runs it on a CUDA device; on the
// CPU it uses small models.

namespace hessian::benchmarks {
namespace {

using experiments::TrainConfig;
using experiments::Training;

/// A model size and the batches that it is measured with.
struct Case {
  std::string size;  ///< such as llama2-271M
  int64_t step_sequences = 0;
  int64_t overhead_sequences = 0;  ///< fewer, since three models are in training at once
  int64_t hvp_sequences = 0;
  int64_t positions = 0;
};

/// For a device with 80 GB.
const std::vector<Case> large = {{"llama2-271M", 16, 16, 4, 1024}, {"llama2-1B", 8, 4, 2, 1024}};
const std::vector<Case> small = {{"llama2-20M", 2, 2, 2, 64}};

struct Options {
  std::string device = "auto";
  std::string dtype = "auto";
  double seconds = 5;
  int64_t vectors = 8;
  std::string
      step;  ///< if given, prints only the median seconds of this model's training step (tests/peers/train_step.py)
  int64_t vocab_size = 0;
  int64_t sequences = 8;
  int64_t positions = 128;
};

TrainConfig config_of(const std::string& model, const Options& options, int64_t sequences, int64_t positions,
                      at::Device device) {
  TrainConfig config = timed_training("new:" + model, sequences);
  config.device = device.str();
  config.dtype = options.dtype;
  config.model.vocab_size = options.vocab_size;
  config.data.seq_len = positions;
  return config;
}

void print_shares(const std::string& name, double seconds, const Work& work, const DeviceLimits& limits) {
  std::printf("%-44s %9.2f ms  %5.1f %% of matrix products  %5.1f %% of bandwidth\n", name.c_str(), 1e3 * seconds,
              100 * work.matmul_fraction(seconds, limits), 100 * work.bandwidth_fraction(seconds, limits));
  std::fflush(stdout);
}

void measure_step(const Case& of, const std::string& placement, const Options& options, at::Device device,
                  const DeviceLimits& limits) {
  const std::string model = of.size + "-" + placement;
  Training training = fresh_training(config_of(model, options, of.step_sequences, of.positions, device));
  const double seconds = median_seconds([&] { training.update(); }, device, options.seconds);
  print_shares("step " + model + " " + std::to_string(of.step_sequences) + " x " + std::to_string(of.positions),
               seconds, training_step_work(training.forward().config(), of.step_sequences, of.positions), limits);
}

/// Times steps of the placements in turn, so that a slow moment of the machine affects all of them.
void measure_overhead(const Case& of, const Options& options, at::Device device) {
  const std::vector<std::string> placements = {"prenorm", "preqknorm", "simplegpt"};
  std::vector<Training> trainings;
  for (const std::string& placement : placements) {
    trainings.push_back(
        fresh_training(config_of(of.size + "-" + placement, options, of.overhead_sequences, of.positions, device)));
  }
  constexpr int rounds = 5;
  std::vector<std::vector<double>> seconds(placements.size());
  for (int round = 0; round < rounds; ++round) {
    for (std::size_t i = 0; i < trainings.size(); ++i) {
      seconds[i].push_back(median_seconds([&] { trainings[i].update(); }, device, options.seconds / rounds));
    }
  }
  const auto ratio = [&](std::size_t i) { return experiments::median(seconds[i]) / experiments::median(seconds[0]); };
  std::printf("normalisation_overhead %s %ld x %ld: SimpleNorm %.3f, QKNorm %.3f of PreNorm\n", of.size.c_str(),
              static_cast<long>(of.overhead_sequences), static_cast<long>(of.positions), ratio(2), ratio(1));
  std::fflush(stdout);
}

void measure_hvp(const Case& of, const std::string& placement, const Options& options, at::Device device,
                 const DeviceLimits& limits) {
  const c10::NoGradGuard no_grad;
  const std::string name = of.size + "-" + placement;
  const at::ScalarType weights = experiments::parse_dtype(options.dtype);
  const models::GptConfig config = models::parse_model_name("new:" + name, std::nullopt);
  const models::Model model = models::initialise_model(config, 1);
  const at::Tensor ids = at::randint(config.vocab_size, {of.hvp_sequences, of.positions + 1}, at::kLong).to(device);
  const at::Tensor residual =
      models::Forward({config, model.parameters.to(device, at::kFloat)}).embed(ids.narrow(1, 0, of.positions));
  const models::Forward forward({config, model.parameters.to(device, weights)});
  const TapeOperator op(forward.losses_program(0), forward.parameters(),
                        {residual, ids.narrow(1, 1, of.positions).contiguous()}, 0);
  for (const int64_t k : {int64_t{1}, options.vectors}) {
    const at::Tensor v = at::randn({of.hvp_sequences, k, op.dim()}, op.vector_options());
    const double seconds = median_seconds([&] { op.apply(v); }, device, options.seconds);
    print_shares("hvp " + name + " " + std::to_string(of.hvp_sequences) + " x " + std::to_string(of.positions) + ", " +
                     std::to_string(k) + " vectors",
                 seconds,
                 hvp_work(config, of.hvp_sequences, of.positions, k, static_cast<int64_t>(c10::elementSize(weights))),
                 limits);
  }
}

void measure(Options options) {
  const at::Device device = select_device(options.device);
  if (options.dtype == "auto") {
    options.dtype = device.is_cpu() ? "float32" : "bfloat16";
  }
  if (!options.step.empty()) {
    Training training = fresh_training(config_of(options.step, options, options.sequences, options.positions, device));
    std::printf("%.6g\n", median_seconds([&] { training.update(); }, device, options.seconds));
    return;
  }
  const DeviceLimits limits = measure_limits(device, experiments::parse_dtype(options.dtype));
  std::printf("%s, %s; one large product runs at %.4g TFLOP/s, one large copy at %.4g GB/s\n",
              describe_device(device).c_str(), options.dtype.c_str(), limits.flops_per_second / 1e12,
              limits.bytes_per_second / 1e9);
  for (const Case& of : device.is_cpu() ? small : large) {
    for (const std::string placement : {"prenorm", "simplegpt"}) {
      measure_step(of, placement, options, device, limits);
      measure_hvp(of, placement, options, device, limits);
    }
    measure_overhead(of, options, device);
  }
}

}  // namespace
}  // namespace hessian::benchmarks

int main(int argc, char** argv) {
  CLI::App app("Compares training steps and Hessian-vector products with the highest rates of the device",
               "device_times");
  hessian::benchmarks::Options options;
  app.add_option("--device", options.device, "auto, cpu, cuda or cuda:N")->capture_default_str();
  app.add_option("--dtype", options.dtype, "of products; auto: bfloat16 on a CUDA device, float32 on the CPU");
  app.add_option("--seconds", options.seconds, "about how long to measure each")->capture_default_str();
  app.add_option("--vectors", options.vectors, "vectors per sequence in the HVP of several vectors")
      ->capture_default_str();
  app.add_option("--step", options.step, "print only the seconds of a training step of this model");
  app.add_option("--vocab-size", options.vocab_size, "of --step; 0: the model's own")->capture_default_str();
  app.add_option("--sequences", options.sequences, "of --step")->capture_default_str();
  app.add_option("--tokens", options.positions, "of each sequence of --step")->capture_default_str();
  CLI11_PARSE(app, argc, argv);
  try {
    hessian::benchmarks::measure(options);
  } catch (const std::exception& error) {
    std::cerr << "device_times: " << error.what() << '\n';
    return 1;
  }
  return 0;
}
