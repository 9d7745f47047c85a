#pragma once

#include <ATen/ATen.h>

#include <cmath>
#include <cstddef>
#include <utility>
#include <vector>

#include "train/config.h"

namespace hessian::support {

/// The formulas of train/optimizer.h, written out with plain operators in float64.
struct OptimizerFormulas {
  OptimizerFormulas(experiments::TrainConfig::Optimizer its_config, std::vector<at::Tensor> values)
      : config(std::move(its_config)), weights(std::move(values)) {
    for (const at::Tensor& w : weights) {
      first.push_back(at::zeros_like(w));
      second.push_back(at::zeros_like(w));
    }
  }

  /// Replaces the weights by those after one update. The tensors themselves do not change.
  void update(const std::vector<at::Tensor>& gradients, double lr) {
    ++t;
    for (std::size_t i = 0; i < weights.size(); ++i) {
      const bool decays = config.decay == "all" || weights[i].dim() == 2;
      const double wd = decays ? config.weight_decay : 0.0;
      if (config.name == "sgd") {
        const at::Tensor g = gradients[i] + wd * weights[i];
        first[i] = t == 1 ? g : config.momentum * first[i] + g;
        weights[i] = weights[i] - lr * first[i];
      } else {
        const at::Tensor& g = gradients[i];
        first[i] = config.beta1 * first[i] + (1 - config.beta1) * g;
        second[i] = config.beta2 * second[i] + (1 - config.beta2) * g * g;
        const at::Tensor m = first[i] / (1 - std::pow(config.beta1, t));
        const at::Tensor v = second[i] / (1 - std::pow(config.beta2, t));
        weights[i] = weights[i] * (1 - lr * wd) - lr * m / (v.sqrt() + config.eps);
      }
    }
  }

  experiments::TrainConfig::Optimizer config;
  std::vector<at::Tensor> weights;
  std::vector<at::Tensor> first;   ///< first moments, or momentum buffers
  std::vector<at::Tensor> second;  ///< second moments; AdamW only
  int t = 0;                       ///< updates so far
};

}  // namespace hessian::support
