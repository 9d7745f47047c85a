#include "train/training.h"

#include <ATen/CPUGeneratorImpl.h>
#include <c10/core/GradMode.h>
#include <torch/csrc/autograd/autograd.h>

#include <algorithm>
#include <stdexcept>
#include <utility>

#include "config/dtype.h"
#include "kernels/autocast.h"

namespace hessian::experiments {
namespace {

/// Copies the weights to a device as leaves of autograd.
models::Model trainable(const models::Model& model, at::Device device, at::ScalarType dtype) {
  models::Model copy{model.config, {}};
  for (const auto& [name, tensor] : model.parameters) {
    copy.parameters.add(name, tensor.detach().to(device, dtype, false, /*copy=*/true).requires_grad_());
  }
  return copy;
}

}  // namespace

at::ScalarType parameter_dtype(const TrainConfig& config) {
  return config.dtype == "float64" ? at::kDouble : at::kFloat;
}

Training::Training(const TrainConfig& config, const models::Model& model, models::TrainingData data, at::Device device,
                   ProcessGroup group)
    : config_(config),
      device_(device),
      group_(std::move(group)),
      data_(std::move(data)),
      forward_(trainable(model, device, parameter_dtype(config)), Numerics::wide, Derivatives::first),
      shard_(forward_.parameters(), group_),
      optimizer_(config.optimizer, shard_) {
  if (sequences_per_update(config_) % group_.size() != 0) {
    throw std::invalid_argument("data.batch_size * data.accumulation is " +
                                std::to_string(sequences_per_update(config_)) +
                                " sequences, expected a multiple of the " + std::to_string(group_.size()) +
                                " processes, which divide them equally");
  }
  // Nothing draws from this generator yet, but every checkpoint stores its state and LibTorch seeds it randomly.
  at::Generator generator = at::detail::getDefaultCPUGenerator();
  generator.set_current_seed(static_cast<uint64_t>(config.seed));
  if (config.validation.every > 0) {
    held_out_ = data_.held_out(config.validation.sequences, held_out_seed);
  }
}

int64_t Training::tokens_per_update() const {
  return sequences_per_update(config_) * config_.data.seq_len;
}

double Training::accumulate_gradient(const models::TokenBatch& batch, double scale) {
  at::Tensor loss;
  {
    const AutocastScope autocast(device_.type(), parse_dtype(config_.dtype));
    loss = forward_.losses(0, forward_.embed(batch.tokens.to(device_)), batch.targets.to(device_)).mean();
  }
  torch::autograd::backward({loss * scale}, {});
  return loss.item<double>() * scale;
}

UpdateRecord Training::update() {
  const c10::AutoGradMode recording(true);
  UpdateRecord record;
  record.lr = config_.optimizer.lr * multiplier(schedule_of(config_), step());
  const Share share = share_of(sequences_per_update(config_), group_.rank(), group_.size());
  for (int64_t done = 0; done < share.count; done += config_.data.batch_size) {
    const int64_t count = std::min(config_.data.batch_size, share.count - done);
    const models::TokenBatch batch = data_.batch(sequences_seen_ + share.first + done, count);
    record.loss +=
        accumulate_gradient(batch, static_cast<double>(count) / static_cast<double>(sequences_per_update(config_)));
  }
  record.loss = sum_over_processes(record.loss);
  sequences_seen_ += sequences_per_update(config_);
  shard_.reduce_gradients();
  std::vector<at::Tensor> gradients;
  for (const auto& [name, parameter] : shard_.own()) {
    gradients.push_back(parameter.grad());
  }
  record.grad_norm = clip_gradients(gradients, config_.optimizer.clip, group_);
  optimizer_.update(record.lr, clip_factor(record.grad_norm, config_.optimizer.clip));
  for (const auto& [name, parameter] : shard_.own()) {
    parameter.mutable_grad() = at::Tensor();
  }
  shard_.gather_updates();
  return record;
}

double Training::sum_over_processes(double value) const {
  at::Tensor sum = at::full({1}, value, at::kDouble);
  group_.all_reduce(sum);
  return sum.item<double>();
}

double Training::sum_of_losses(const at::Tensor& tokens, const at::Tensor& targets) const {
  const AutocastScope autocast(device_.type(), parse_dtype(config_.dtype));
  return forward_.losses(0, forward_.embed(tokens), targets).sum().item<double>();
}

double Training::validate() const {
  const c10::NoGradGuard no_grad;
  const int64_t sequences = held_out_.tokens.size(0);
  const Share share = share_of(sequences, group_.rank(), group_.size());
  double sum = 0;
  for (int64_t done = 0; done < share.count; done += config_.data.batch_size) {
    const int64_t first = share.first + done;
    const int64_t count = std::min(config_.data.batch_size, share.count - done);
    sum += sum_of_losses(held_out_.tokens.narrow(0, first, count).to(device_),
                         held_out_.targets.narrow(0, first, count).to(device_));
  }
  return sum_over_processes(sum) / static_cast<double>(sequences);
}

bool Training::weights_are_finite() const {
  const auto& parameters = forward_.parameters();
  return std::all_of(parameters.begin(), parameters.end(),
                     [](const auto& parameter) { return at::isfinite(parameter.second).all().template item<bool>(); });
}

models::TrainingCheckpoint Training::checkpoint(const std::string& config_text) const {
  models::TrainingCheckpoint checkpoint;
  checkpoint.model = {forward_.config(), forward_.parameters()};
  checkpoint.state.step = step();
  checkpoint.state.sequences_seen = sequences_seen_;
  checkpoint.state.optimizer = optimizer_.state();
  checkpoint.state.generator = at::detail::getDefaultCPUGenerator().get_state();
  checkpoint.state.config = config_text;
  return checkpoint;
}

void Training::restore(const models::TrainingCheckpoint& checkpoint, const std::string& source) {
  if (checkpoint.model.config != forward_.config()) {
    throw std::runtime_error(source +
                             ": holds another architecture than the run's; continue with the configuration "
                             "that it was made with");
  }
  optimizer_.restore(checkpoint.state.optimizer, source);
  const c10::NoGradGuard no_grad;
  for (const auto& [name, parameter] : forward_.parameters()) {
    const at::Tensor& saved = checkpoint.model.parameters.at(name);
    if (saved.scalar_type() != parameter.scalar_type()) {
      throw std::runtime_error(source + ": tensor '" + name + "' has a different precision from the run's");
    }
    parameter.copy_(saved);
  }
  sequences_seen_ = checkpoint.state.sequences_seen;
  at::Generator generator = at::detail::getDefaultCPUGenerator();
  generator.set_state(checkpoint.state.generator);
}

}  // namespace hessian::experiments
