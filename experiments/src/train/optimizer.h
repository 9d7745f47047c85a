#pragma once

#include <ATen/ATen.h>

#include <cstddef>
#include <cstdint>
#include <deque>
#include <string>
#include <vector>

#include "distributed/process_group.h"
#include "hessian/parameters.h"
#include "train/config.h"
#include "train/parameter_shard.h"
#include "train/preconditioner.h"

namespace hessian::experiments {

/// Updates parameters by AdamW, or by SGD with momentum, from the gradients that autograd has accumulated in them.
///
/// AdamW (Loshchilov & Hutter 2019, arXiv 1711.05101), at update t = 1, 2, ..., with learning rate lr:
///   w <- w (1 - lr wd);  m <- b1 m + (1-b1) g;  v <- b2 v + (1-b2) g^2
///   w <- w - lr (m / (1-b1^t)) / (sqrt(v / (1-b2^t)) + eps)
/// SGD with heavy-ball momentum mu (Polyak 1964; the first update has b = g):
///   g <- g + wd w;  b <- mu b + g;  w <- w - lr b
/// The arithmetic is that of LibTorch's fused kernels. In a group of processes each one updates its shard.
class Optimizer {
 public:
  /// \param parameters  leaves of autograd; shared, not copied
  Optimizer(const TrainConfig::Optimizer& config, ParameterShard parameters);

  /// Updates every parameter of this process's shard from its gradient.
  /// \throws std::logic_error  if a parameter has no gradient
  /// \param clip_factor  factor by which the gradients were scaled before, for preconditioner()
  void update(double lr, double clip_factor = 1);

  /// Returns the number of updates done.
  int64_t updates() const { return updates_; }

  /// Returns everything besides the parameters that determines the next update. Collective: the first process gets the
  /// state of all processes, the others an empty one. Names do not depend on the number of processes. For a single
  /// process the result shares memory with the optimizer.
  Parameters state() const;

  /// Restores this process's shard of a state.
  /// \throws std::runtime_error  if the state belongs to another optimizer or other parameters, naming the tensor
  void restore(const Parameters& state, const std::string& source);

  /// Returns Adam's preconditioner P = (1 - b1^t) (sqrt(v / (1 - b2^t)) + eps), where v > 0, for every parameter: an update
  /// of size lr is a step of plain gradient descent in the geometry of P. Its clip factor is the mean of the last
  /// 1 / (1 - b2) updates, those that v remembers. Empty for SGD and before the first update. Collective: every process
  /// gets all of it.
  /// Source: Cohen et al. (2022), arXiv 2207.14484, section 2.
  Preconditioner preconditioner() const;

 private:
  /// Parameters with the same weight decay, and their state.
  struct Group {
    double weight_decay = 0;
    std::vector<std::string> names;
    std::vector<at::Tensor> parameters;
    std::vector<at::Tensor> first;   // m, or b for SGD
    std::vector<at::Tensor> second;  // v; empty for SGD
  };

  bool is_adamw() const { return config_.name == "adamw"; }
  /// Returns how many clip factors are remembered, 1 / (1 - b2) rounded.
  std::size_t clip_window() const;
  /// Returns the names of the tensors that the optimizer keeps per parameter.
  std::vector<std::string> quantities() const;
  /// Returns the state of this process's shard.
  Parameters own_state() const;
  /// Returns one quantity of a parameter from the shards of all processes; collective.
  at::Tensor assemble(const Parameters& own, const std::string& quantity, const std::string& parameter) const;
  /// \throws std::runtime_error  if a tensor is missing, superfluous or of the wrong shape
  void check_state(const Parameters& state, const std::string& source) const;

  TrainConfig::Optimizer config_;
  ParameterShard shard_;
  std::vector<Group> groups_;
  int64_t updates_ = 0;
  std::deque<double> clip_factors_;  // of the last updates, the oldest first; only for AdamW
};

/// Returns the factor by which gradients of this global norm are scaled to be at most `limit`; 0 sets no limit.
double clip_factor(double norm, double limit);

/// Scales all gradients by one factor so that their global norm is at most `limit`; 0 sets no limit. Returns the norm
/// before scaling. In a group of processes each passes its shard of the gradients, and the norm is that of all shards.
/// Source: Pascanu et al. (2013), arXiv 1211.5063; the 1e-6 in the quotient is that of PyTorch's clip_grad_norm_.
double clip_gradients(const std::vector<at::Tensor>& gradients, double limit, const ProcessGroup& group = {});

}  // namespace hessian::experiments
