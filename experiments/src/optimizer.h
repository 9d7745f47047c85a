#pragma once

#include <ATen/ATen.h>

#include <cstdint>
#include <vector>

#include "experiments/train_config.h"
#include "hessian/parameters.h"

namespace experiments {

/// AdamW, or SGD with momentum, on the gradients that autograd has left in the parameters.
///
/// AdamW (Loshchilov & Hutter 2019, arXiv 1711.05101), at update t from 1 on, with learning rate lr:
///   w <- w (1 - lr wd);  m <- b1 m + (1-b1) g;  v <- b2 v + (1-b2) g^2
///   w <- w - lr (m / (1-b1^t)) / (sqrt(v / (1-b2^t)) + eps)
/// SGD, with the heavy ball's momentum mu (Polyak 1964; the first update has b = g):
///   g <- g + wd w;  b <- mu b + g;  w <- w - lr b
/// The arithmetic is LibTorch's fused kernels'.
class Optimizer {
 public:
  /// Shares the parameters, which are to be leaves of autograd.
  Optimizer(const TrainConfig::Optimizer& config, const hessian::Parameters& parameters);

  /// Updates every parameter from its gradient.
  /// \throws std::logic_error  if a parameter has no gradient
  void update(double lr);

  int64_t updates() const { return updates_; }

  /// Everything beside the parameters that decides the next update; shares memory.
  hessian::Parameters state() const;

  /// \throws std::runtime_error  if the state is not that of this optimizer and these parameters, naming the tensor
  void restore(const hessian::Parameters& state, const std::string& source);

  /// Adam's preconditioner P = (1 - b1^t) (sqrt(v / (1 - b2^t)) + eps) for each parameter in turn, in whose geometry an
  /// update of size lr is one of plain gradient descent; empty for SGD and before the first update.
  /// Source: Cohen et al. (2022), arXiv 2207.14484, section 2.
  std::vector<at::Tensor> preconditioner() const;

 private:
  /// Parameters that share a weight decay, with their state beside them.
  struct Group {
    double weight_decay = 0;
    std::vector<std::string> names;
    std::vector<at::Tensor> parameters;
    std::vector<at::Tensor> first;   // m, or b for SGD
    std::vector<at::Tensor> second;  // v; empty for SGD
  };

  bool is_adamw() const { return config_.name == "adamw"; }

  TrainConfig::Optimizer config_;
  std::vector<std::string> order_;  // names as the model has them
  std::vector<Group> groups_;
  int64_t updates_ = 0;
};

/// Global norm of the gradients, before it is limited to `limit` by scaling all of them; 0 sets no limit.
/// Source: Pascanu et al. (2013), arXiv 1211.5063; the 1e-6 in the quotient as in PyTorch's clip_grad_norm_.
double clip_gradients(const std::vector<at::Tensor>& gradients, double limit);

}  // namespace experiments
