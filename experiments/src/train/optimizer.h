#pragma once

#include <ATen/ATen.h>

#include <cstdint>
#include <string>
#include <vector>

#include "distributed/process_group.h"
#include "hessian/parameters.h"
#include "train/config.h"
#include "train/parameter_shard.h"

namespace hessian::experiments {

/// AdamW, or SGD with momentum, on the gradients that autograd has left in the parameters.
///
/// AdamW (Loshchilov & Hutter 2019, arXiv 1711.05101), at update t from 1 on, with learning rate lr:
///   w <- w (1 - lr wd);  m <- b1 m + (1-b1) g;  v <- b2 v + (1-b2) g^2
///   w <- w - lr (m / (1-b1^t)) / (sqrt(v / (1-b2^t)) + eps)
/// SGD, with the heavy ball's momentum mu (Polyak 1964; the first update has b = g):
///   g <- g + wd w;  b <- mu b + g;  w <- w - lr b
/// The arithmetic is LibTorch's fused kernels'. Where several processes share the parameters, each updates its part.
class Optimizer {
 public:
  /// Shares the parameters, which are to be leaves of autograd.
  Optimizer(const TrainConfig::Optimizer& config, ParameterShard parameters);

  /// Updates every parameter of this process's part from its gradient.
  /// \throws std::logic_error  if a parameter has no gradient
  void update(double lr);

  int64_t updates() const { return updates_; }

  /// Everything beside the parameters that decides the next update, of all processes together, under the same names
  /// whatever their number; shares memory where the process is alone. In the first process; the others, which have to
  /// call it too, get nothing.
  hessian::Parameters state() const;

  /// Takes what is of this process's part.
  /// \throws std::runtime_error  if the state is not that of this optimizer and these parameters, naming the tensor
  void restore(const hessian::Parameters& state, const std::string& source);

  /// Adam's preconditioner P = (1 - b1^t) (sqrt(v / (1 - b2^t)) + eps) for each parameter in turn, in whose geometry an
  /// update of size lr is one of plain gradient descent; empty for SGD and before the first update. Of all processes
  /// together, in each of them.
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
  /// The names of what there is beside each parameter, and its tensors.
  std::vector<std::string> quantities() const;
  hessian::Parameters own_state() const;

  TrainConfig::Optimizer config_;
  ParameterShard shard_;
  std::vector<Group> groups_;
  int64_t updates_ = 0;
};

/// Global norm of the gradients, before it is limited to `limit` by scaling all of them; 0 sets no limit. Where several
/// processes have a part of the gradients each, the norm is that of all parts.
/// Source: Pascanu et al. (2013), arXiv 1211.5063; the 1e-6 in the quotient as in PyTorch's clip_grad_norm_.
double clip_gradients(const std::vector<at::Tensor>& gradients, double limit, const ProcessGroup& group = {});

}  // namespace hessian::experiments
