#include "device_limits.h"

#include <c10/core/GradMode.h>
#include <c10/core/impl/VirtualGuardImpl.h>

#include <vector>

#include "gpt/architecture.h"
#include "program/statistics.h"
#include "subject.h"

namespace hessian::benchmarks {
namespace {

/// Returns the number of entries of the matrices that a token is multiplied with, without the embeddings.
double map_entries(const models::GptConfig& config) {
  double entries = static_cast<double>(config.vocab_size) * static_cast<double>(config.dim);
  for (int64_t layer = 0; layer < config.n_layers; ++layer) {
    for (const models::ParameterSpec& parameter : models::describe_layer(config, layer).parameters) {
      if (parameter.shape.size() == 2) {
        entries += static_cast<double>(parameter.shape[0]) * static_cast<double>(parameter.shape[1]);
      }
    }
  }
  return entries;
}

/// Returns the operations of one product of attention (queries with keys, or weights with values) over past positions,
/// for all heads and layers.
double attention_flops(const models::GptConfig& config, int64_t sequences, int64_t positions) {
  const auto pairs =
      static_cast<double>(sequences) * static_cast<double>(positions) * static_cast<double>(positions + 1) / 2;
  return 2 * pairs * static_cast<double>(config.n_layers * config.n_heads * config.head_dim);
}

}  // namespace

void synchronise(at::Device device) {
  if (!device.is_cpu()) {
    c10::impl::VirtualGuardImpl(device.type()).synchronizeDevice(device.index());
  }
}

double median_seconds(const std::function<void()>& work, at::Device device, double seconds) {
  const auto timed = [&] {
    return seconds_of([&] {
      work();
      synchronise(device);
    });
  };
  timed();
  timed();
  std::vector<double> times;
  double total = 0;
  while (times.size() < 3 || total < seconds) {
    times.push_back(timed());
    total += times.back();
  }
  return experiments::median(times);
}

DeviceLimits measure_limits(at::Device device, at::ScalarType products) {
  const c10::NoGradGuard no_grad;
  const int64_t n = device.is_cpu() ? 1024 : 8192;
  const auto options = at::dtype(products).device(device);
  const at::Tensor a = at::randn({n, n}, options);
  const at::Tensor b = at::randn({n, n}, options);
  at::Tensor c = at::empty({n, n}, options);
  const double product_seconds = median_seconds([&] { at::mm_out(c, a, b.t()); }, device, 1.0);

  const int64_t bytes = int64_t{1} << (device.is_cpu() ? 28 : 31);
  const at::Tensor from = at::zeros({bytes}, at::dtype(at::kByte).device(device));
  at::Tensor to = at::empty_like(from);
  const double copy_seconds = median_seconds([&] { to.copy_(from); }, device, 1.0);
  const auto size = static_cast<double>(n);
  return {2 * size * size * size / product_seconds, 2 * static_cast<double>(bytes) / copy_seconds};
}

Work training_step_work(const models::GptConfig& config, int64_t sequences, int64_t positions) {
  const double tokens = static_cast<double>(sequences) * static_cast<double>(positions);
  constexpr double adamw_bytes = 4 * (4 + 3);
  constexpr double map_bytes = 4 * 2;
  return {6 * tokens * map_entries(config) + 6 * attention_flops(config, sequences, positions),
          (adamw_bytes + map_bytes) * static_cast<double>(models::parameter_count(config))};
}

Work hvp_work(const models::GptConfig& config, int64_t sequences, int64_t positions, int64_t k, int64_t weight_bytes) {
  const double tokens = static_cast<double>(sequences) * static_cast<double>(positions);
  return {
      static_cast<double>(k) * (4 * tokens * map_entries(config) + 12 * attention_flops(config, sequences, positions)),
      2 * static_cast<double>(weight_bytes) * map_entries(config)};
}

}  // namespace hessian::benchmarks
