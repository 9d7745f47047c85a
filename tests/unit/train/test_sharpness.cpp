// Both kinds of sharpness against the dense Hessian of all parameters, built row by row with double backward.

#include "sharpness.h"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include <tuple>
#include <vector>

#include "models/forward.h"
#include "tiny_models.h"

namespace {

using experiments::measure_sharpness;
using experiments::Sharpness;
using experiments::SharpnessOptions;

/// Some 100 to 300 parameters: a Hessian that fits in the hand.
models::GptConfig minute_config(models::Family family, models::Placement placement) {
  models::GptConfig config = support::tiny_config(family, placement);
  config.dim = 4;
  config.n_layers = 1;
  config.n_heads = 2;
  config.n_kv_heads = family == models::Family::llama3 ? 1 : 2;
  config.head_dim = 2;
  config.ffn_hidden_dim = 6;
  config.vocab_size = 7;
  config.max_seq_len = 8;
  return config;
}

/// A model away from its symmetric start: random gains and biases, in float64.
models::Model random_model(const models::GptConfig& config, uint64_t seed) {
  auto generator = at::detail::createCPUGenerator(seed);
  models::Model model{config, {}};
  for (const auto& spec : models::parameter_specs(config)) {
    const double mean = spec.initialiser.mean;
    model.parameters.add(spec.name, mean + 0.4 * at::randn(spec.shape, generator, at::dtype(at::kDouble)));
  }
  return model;
}

models::TokenBatch random_batch(const models::GptConfig& config, uint64_t seed) {
  return {support::random_tokens(config, 3, 6, seed), support::random_tokens(config, 3, 6, seed + 1), {}};
}

/// The Hessian [n, n] of the mean loss of the batch.
at::Tensor dense_hessian(const models::Model& model, const models::TokenBatch& batch) {
  models::Model leaves{model.config, {}};
  std::vector<at::Tensor> variables;
  for (const auto& [name, tensor] : model.parameters) {
    variables.push_back(tensor.clone().requires_grad_());
    leaves.parameters.add(name, variables.back());
  }
  const models::Forward forward(leaves);
  const at::Tensor loss = forward.losses(0, forward.embed(batch.tokens), batch.targets).mean();
  std::vector<at::Tensor> flat;
  for (const at::Tensor& g : torch::autograd::grad({loss}, variables, {}, true, /*create_graph=*/true)) {
    flat.push_back(g.flatten());
  }
  const at::Tensor gradient = at::cat(flat);
  std::vector<at::Tensor> rows;
  for (int64_t i = 0; i < gradient.size(0); ++i) {
    std::vector<at::Tensor> row;
    const auto seconds = torch::autograd::grad({gradient[i]}, variables, {}, true, false, /*allow_unused=*/true);
    for (std::size_t j = 0; j < variables.size(); ++j) {
      row.push_back((seconds[j].defined() ? seconds[j] : at::zeros_like(variables[j])).flatten());
    }
    rows.push_back(at::cat(row).detach());
  }
  return at::stack(rows);
}

double largest_eigenvalue(const at::Tensor& symmetric) {
  return at::linalg_eigvalsh((symmetric + symmetric.t()) / 2).max().item<double>();
}

// An eigenvalue lies within its residual of the true one, and is in fact far nearer.
constexpr SharpnessOptions tight{1e-6, 20000, 5};

class SharpnessOf : public testing::TestWithParam<std::tuple<models::Family, models::Placement>> {
 protected:
  models::GptConfig config_ = minute_config(std::get<0>(GetParam()), std::get<1>(GetParam()));
  models::Model model_ = random_model(config_, 41);
  models::TokenBatch batch_ = random_batch(config_, 42);
  at::Tensor hessian_ = dense_hessian(model_, batch_);
};

TEST_P(SharpnessOf, IsTheLargestEigenvalueOfTheDenseHessian) {
  const double expected = largest_eigenvalue(hessian_);
  const Sharpness sharpness = measure_sharpness(model_, batch_, {}, tight);
  EXPECT_EQ(sharpness.converged, 1);
  EXPECT_NEAR(sharpness.lambda_max, expected, 1e-6 * std::abs(expected));
  const double norm = at::linalg_eigvalsh(hessian_).abs().max().item<double>();
  EXPECT_LE(sharpness.residual_norm, 1e-6 * norm * (1 + 1e-6));
  EXPECT_GT(sharpness.iterations, 1);
}

TEST_P(SharpnessOf, WithAPreconditionerIsThatOfTheHessianInItsGeometry) {
  auto generator = at::detail::createCPUGenerator(43);
  std::vector<at::Tensor> preconditioner;
  std::vector<at::Tensor> flat;
  for (const auto& [name, tensor] : model_.parameters) {
    // From 0.1 to 10, evenly in the logarithm.
    preconditioner.push_back(at::pow(10.0, 2 * at::rand(tensor.sizes(), generator, at::dtype(at::kDouble)) - 1));
    flat.push_back(preconditioner.back().flatten());
  }
  const at::Tensor scale = at::cat(flat).pow(-0.5);
  const double expected = largest_eigenvalue(scale.unsqueeze(1) * hessian_ * scale.unsqueeze(0));
  const Sharpness sharpness = measure_sharpness(model_, batch_, preconditioner, tight);
  EXPECT_EQ(sharpness.converged, 1);
  EXPECT_NEAR(sharpness.lambda_max, expected, 1e-6 * std::abs(expected));
}

INSTANTIATE_TEST_SUITE_P(FamiliesAndPlacements, SharpnessOf,
                         testing::Combine(testing::ValuesIn(support::all_families()),
                                          testing::ValuesIn(support::all_placements())),
                         [](const auto& instance) {
                           return std::string(models::to_string(std::get<0>(instance.param))) + "_" +
                                  models::to_string(std::get<1>(instance.param));
                         });

TEST(SharpnessLimits, ReportsThatItHasNotConverged) {
  const auto config = minute_config(models::Family::llama2, models::Placement::prenorm);
  const Sharpness sharpness =
      measure_sharpness(random_model(config, 1), random_batch(config, 2), {}, SharpnessOptions{1e-12, 2, 0});
  EXPECT_EQ(sharpness.converged, 0);
  EXPECT_LE(sharpness.iterations, 2);
  EXPECT_GT(sharpness.residual_norm, 0);
}

// Multiplying P by 4 divides the eigenvalues by 4.
TEST(SharpnessLimits, ScalesInverselyWithThePreconditionerAndLeavesTheModelAlone) {
  const auto config = minute_config(models::Family::gpt2, models::Placement::simplegpt);
  const models::Model model = random_model(config, 3);
  std::vector<at::Tensor> fours;
  std::vector<at::Tensor> copies;
  for (const auto& [name, tensor] : model.parameters) {
    fours.push_back(at::full_like(tensor, 4.0));
    copies.push_back(tensor.clone());
  }
  const auto batch = random_batch(config, 4);
  const double bare = measure_sharpness(model, batch, {}, tight).lambda_max;
  EXPECT_NEAR(measure_sharpness(model, batch, fours, tight).lambda_max, bare / 4, 1e-6 * std::abs(bare));
  std::size_t i = 0;
  for (const auto& [name, tensor] : model.parameters) {
    EXPECT_TRUE(tensor.equal(copies[i++])) << name;
  }
}

}  // namespace
