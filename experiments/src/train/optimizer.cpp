#include "train/optimizer.h"

#include <c10/core/GradMode.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <stdexcept>
#include <utility>

namespace hessian::experiments {
namespace {

const std::string updates_name = "updates";
const std::string clip_factors_name = "clip_factors";

/// Returns a state tensor's name: "exp_avg.layers.0.attention.wq.weight".
std::string state_name(const std::string& quantity, const std::string& parameter) {
  return quantity + "." + parameter;
}

constexpr const char* first_moment = "exp_avg";
constexpr const char* second_moment = "exp_avg_sq";
constexpr const char* momentum = "momentum_buffer";

std::vector<at::Tensor> gradients_of(const std::vector<at::Tensor>& parameters) {
  std::vector<at::Tensor> gradients;
  for (const at::Tensor& parameter : parameters) {
    if (!parameter.grad().defined()) {
      throw std::logic_error("a parameter has no gradient to update it with");
    }
    gradients.push_back(parameter.grad());
  }
  return gradients;
}

}  // namespace

Optimizer::Optimizer(const TrainConfig::Optimizer& config, ParameterShard parameters)
    : config_(config), shard_(std::move(parameters)) {
  Group decayed{config_.weight_decay, {}, {}, {}, {}};
  Group bare{0.0, {}, {}, {}, {}};
  for (const auto& [name, parameter] : shard_.own()) {
    Group& group = config_.decay == "all" || parameter.dim() >= 2 ? decayed : bare;
    group.names.push_back(name);
    group.parameters.push_back(parameter);
    group.first.push_back(at::zeros_like(parameter.detach()));
    if (is_adamw()) {
      group.second.push_back(at::zeros_like(parameter.detach()));
    }
  }
  for (Group* group : {&decayed, &bare}) {
    if (!group->names.empty()) {
      groups_.push_back(std::move(*group));
    }
  }
}

std::size_t Optimizer::clip_window() const {
  return static_cast<std::size_t>(std::max<int64_t>(1, std::llround(1 / (1 - config_.beta2))));
}

void Optimizer::update(double lr, double clip_factor) {
  const c10::NoGradGuard no_grad;
  const bool first_step = updates_ == 0;
  ++updates_;
  if (is_adamw()) {
    clip_factors_.push_back(clip_factor);
    if (clip_factors_.size() > clip_window()) {
      clip_factors_.pop_front();
    }
  }
  for (Group& group : groups_) {
    const auto gradients = gradients_of(group.parameters);
    if (is_adamw()) {
      const at::Tensor count =
          at::full({}, static_cast<double>(updates_), group.parameters.front().options().dtype(at::kFloat));
      const std::vector<at::Tensor> counts(group.parameters.size(), count);
      at::_fused_adamw_(group.parameters, gradients, group.first, group.second, {}, counts, lr, config_.beta1,
                        config_.beta2, group.weight_decay, config_.eps, /*amsgrad=*/false, /*maximize=*/false);
    } else {
      // LibTorch rejects momentum buffers if the momentum is 0.
      const std::vector<at::Tensor> none;
      at::_fused_sgd_(group.parameters, gradients, config_.momentum > 0 ? group.first : none, group.weight_decay,
                      config_.momentum, lr,
                      /*dampening=*/0.0, /*nesterov=*/false, /*maximize=*/false, first_step);
    }
  }
}

std::vector<std::string> Optimizer::quantities() const {
  return is_adamw() ? std::vector<std::string>{first_moment, second_moment} : std::vector<std::string>{momentum};
}

Parameters Optimizer::own_state() const {
  Parameters state;
  state.add(updates_name, at::tensor({updates_}, at::kLong));
  if (is_adamw()) {
    state.add(clip_factors_name,
              at::tensor(std::vector<double>(clip_factors_.begin(), clip_factors_.end()), at::kDouble));
  }
  for (const Group& group : groups_) {
    for (std::size_t i = 0; i < group.names.size(); ++i) {
      state.add(state_name(is_adamw() ? first_moment : momentum, group.names[i]), group.first[i]);
      if (is_adamw()) {
        state.add(state_name(second_moment, group.names[i]), group.second[i]);
      }
    }
  }
  return state;
}

Parameters Optimizer::state() const {
  Parameters own = own_state();
  if (shard_.group().is_alone()) {
    return own;
  }
  Parameters state;
  state.add(updates_name, own.at(updates_name));
  if (is_adamw()) {
    state.add(clip_factors_name, own.at(clip_factors_name));
  }
  for (const std::string& parameter : shard_.names()) {
    for (const std::string& quantity : quantities()) {
      const at::Tensor whole = assemble(own, quantity, parameter);
      if (shard_.group().is_first()) {
        state.add(state_name(quantity, parameter), whole);
      }
    }
  }
  return shard_.group().is_first() ? state : Parameters();
}

at::Tensor Optimizer::assemble(const Parameters& own, const std::string& quantity, const std::string& parameter) const {
  const std::string name = state_name(quantity, parameter);
  return shard_.assemble(parameter, own.contains(name) ? own.at(name) : at::Tensor());
}

void Optimizer::check_state(const Parameters& state, const std::string& source) const {
  const auto refuse = [&](const std::string& name) {
    throw std::runtime_error(source + ": the optimizer's tensor '" + name +
                             "' is missing or has the wrong shape; the checkpoint belongs to another " + config_.name +
                             " run");
  };
  const std::vector<std::string> parameters = shard_.names();
  const std::size_t expected_size = (is_adamw() ? 2 : 1) + quantities().size() * parameters.size();
  for (const std::string& quantity : quantities()) {
    for (const std::string& parameter : parameters) {
      const std::string name = state_name(quantity, parameter);
      if (!state.contains(name) || state.at(name).sizes() != shard_.shape_of(parameter)) {
        refuse(name);
      }
    }
  }
  if (!state.contains(updates_name) || state.at(updates_name).numel() != 1) {
    refuse(updates_name);
  }
  if (is_adamw()) {
    const auto expected = std::min(state.at(updates_name).item<int64_t>(), static_cast<int64_t>(clip_window()));
    if (!state.contains(clip_factors_name) || state.at(clip_factors_name).numel() != expected) {
      refuse(clip_factors_name);
    }
  }
  if (state.size() != expected_size) {
    refuse(state_name(quantities().back(), parameters.back()));  // there are those of further parameters
  }
}

void Optimizer::restore(const Parameters& state, const std::string& source) {
  check_state(state, source);
  const c10::NoGradGuard no_grad;
  const Parameters own = own_state();
  for (const Group& group : groups_) {
    for (const std::string& parameter : group.names) {
      for (const std::string& quantity : quantities()) {
        const std::string name = state_name(quantity, parameter);
        own.at(name).copy_(shard_.shard_of(parameter, state.at(name)));
      }
    }
  }
  updates_ = state.at(updates_name).item<int64_t>();
  if (is_adamw()) {
    const at::Tensor factors = state.at(clip_factors_name).to(at::kCPU, at::kDouble).contiguous();
    clip_factors_.assign(factors.const_data_ptr<double>(), factors.const_data_ptr<double>() + factors.numel());
  }
}

Preconditioner Optimizer::preconditioner() const {
  if (!is_adamw() || updates_ == 0) {
    return {};
  }
  const auto t = static_cast<double>(updates_);
  const double first_correction = 1.0 - std::pow(config_.beta1, t);
  const double second_correction = 1.0 - std::pow(config_.beta2, t);
  const Parameters own = own_state();
  Preconditioner preconditioner;
  for (const std::string& parameter : shard_.names()) {
    const at::Tensor second = assemble(own, second_moment, parameter);
    const at::Tensor diagonal = first_correction * ((second / second_correction).sqrt() + config_.eps);
    preconditioner.diagonals.add(parameter, diagonal.masked_fill(second == 0, std::numeric_limits<double>::infinity()));
  }
  preconditioner.clip_factor =
      std::accumulate(clip_factors_.begin(), clip_factors_.end(), 0.0) / static_cast<double>(clip_factors_.size());
  return preconditioner;
}

double clip_factor(double norm, double limit) {
  const double factor = limit / (norm + 1e-6);
  return limit > 0 && !(factor >= 1.0) ? factor : 1.0;
}

double clip_gradients(const std::vector<at::Tensor>& gradients, double limit, const ProcessGroup& group) {
  const c10::NoGradGuard no_grad;
  auto value = gradients.empty() ? 0.0 : at::stack(at::_foreach_norm(gradients)).norm().item<double>();
  if (!group.is_alone()) {
    at::Tensor squares = at::full({1}, value * value, at::kDouble);
    group.all_reduce(squares);
    value = std::sqrt(squares.item<double>());
  }
  if (const double factor = clip_factor(value, limit); factor != 1.0 && !gradients.empty()) {
    at::_foreach_mul_(gradients, factor);
  }
  return value;
}

}  // namespace hessian::experiments
