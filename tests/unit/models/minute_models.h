#pragma once

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <torch/csrc/autograd/autograd.h>

#include <vector>

#include "hessian/models/forward.h"
#include "hessian/models/model.h"
#include "tiny_models.h"

// Models so small that dense matrices over all parameters are cheap, and these matrices computed by autograd.

namespace hessian::support {

/// Returns the configuration of a model of 100 to 300 parameters, whose dense Hessian is cheap.
inline models::GptConfig minute_config(models::Family family, models::Placement placement) {
  models::GptConfig config = tiny_config(family, placement);
  config.dim = 4;
  config.n_layers = 1;
  config.n_kv_heads = config.n_kv_heads == config.n_heads ? 2 : 1;
  config.n_heads = 2;
  config.ffn_hidden_dim = 6;
  config.vocab_size = 7;
  config.max_seq_len = 8;
  return config;
}

/// Returns a float64 model with random gains and biases instead of its symmetric initial ones.
inline models::Model random_model(const models::GptConfig& config, uint64_t seed) {
  auto generator = at::detail::createCPUGenerator(seed);
  models::Model model{config, {}};
  for (const auto& spec : models::parameter_specs(config)) {
    const double mean = spec.initialiser.mean;
    model.parameters.add(spec.name, mean + 0.4 * at::randn(spec.shape, generator, at::dtype(at::kDouble)));
  }
  return model;
}

/// A model whose parameters are leaves of the autograd graph.
struct LeafModel {
  models::Model model;
  std::vector<at::Tensor> leaves;

  explicit LeafModel(const models::Model& original) : model{original.config, {}} {
    for (const auto& [name, tensor] : original.parameters) {
      leaves.push_back(tensor.clone().requires_grad_());
      model.parameters.add(name, leaves.back());
    }
  }

  /// Returns the logits [S, T, V].
  at::Tensor logits(const at::Tensor& tokens) const {
    const models::Forward forward(model);
    at::Tensor x = forward.embed(tokens);
    for (int64_t layer = 0; layer < model.config.n_layers; ++layer) {
      x = forward.through_layer(layer, x);
    }
    return forward.logits(x);
  }

  /// Returns the derivatives of each entry of `values` with respect to all parameters, [values.numel(), n].
  at::Tensor jacobian(const at::Tensor& values) const {
    const at::Tensor flat = values.flatten();
    std::vector<at::Tensor> rows;
    for (int64_t i = 0; i < flat.size(0); ++i) {
      std::vector<at::Tensor> row;
      const auto slopes = torch::autograd::grad({flat[i]}, leaves, {}, true, false, /*allow_unused=*/true);
      for (std::size_t j = 0; j < leaves.size(); ++j) {
        row.push_back((slopes[j].defined() ? slopes[j] : at::zeros_like(leaves[j])).flatten());
      }
      rows.push_back(at::cat(row).detach());
    }
    return at::stack(rows);
  }

  /// Returns the second derivatives of a scalar, [n, n].
  at::Tensor second_derivatives(const at::Tensor& value) const {
    std::vector<at::Tensor> gradient;
    const auto slopes = torch::autograd::grad({value}, leaves, {}, true, /*create_graph=*/true, /*allow_unused=*/true);
    for (std::size_t j = 0; j < leaves.size(); ++j) {
      gradient.push_back((slopes[j].defined() ? slopes[j] : at::zeros_like(leaves[j])).flatten());
    }
    return jacobian(at::cat(gradient));
  }
};

/// Returns the Hessian [n, n] of the mean loss of some sequences with respect to all parameters.
inline at::Tensor dense_hessian(const models::Model& model, const at::Tensor& tokens,
                                const at::Tensor& targets) {
  const LeafModel leaf_model(model);
  const models::Forward forward(leaf_model.model);
  return leaf_model.second_derivatives(forward.losses(0, forward.embed(tokens), targets).mean());
}

}  // namespace hessian::support
