#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <stdexcept>

#include "fixtures.h"
#include "hessian/dense_operator.h"
#include "hessian/hessian_operator.h"
#include "hessian/probe.h"
#include "probe/subject.h"

// Compares hessian::probe() of a model in memory with the eigenvalues of dense Hessians.

namespace hessian::tests {
namespace {

class ModelProbe : public testing::TestWithParam<models::Site> {
 protected:
  support::Fixture fixture = support::dense_fixtures().at(5);  // llama3, simplegpt
  models::Model model = support::load_fixture_model(fixture, at::kDouble);
  Parameters expected = support::load_expected(fixture);
  models::TokenBatch batch{expected.at("tokens"), expected.at("targets"), {}};

  /// Eigenvalues [S, n] of the dense Hessians at a site of a layer, from autograd.
  at::Tensor spectrum(models::Site site, int64_t layer) const {
    const models::Forward forward(model);
    const at::Tensor residual = support::residuals_of(forward, batch.tokens).at(static_cast<std::size_t>(layer));
    const at::Tensor x = experiments::site_activation(forward, site, layer, residual);
    const auto losses = experiments::site_losses(forward, site, layer, residual, batch.targets);
    return at::linalg_eigvalsh(to_dense(HessianOperator(losses, x)));
  }
};

TEST_P(ModelProbe, FindsTheEndsOfTheDenseSpectraOfEveryLayer) {
  const models::Site site = GetParam();
  const auto layers = probe(model, batch, {.site = site, .ends = Ends::both, .tolerance = 1e-9, .max_iterations = 500});
  ASSERT_EQ(static_cast<int64_t>(layers.size()), models::site_layers(model.config, site));
  for (std::size_t i = 0; i < layers.size(); ++i) {
    SCOPED_TRACE(models::site_name(site, layers[i].layer));
    EXPECT_EQ(layers[i].layer, static_cast<int64_t>(i));
    const at::Tensor exact = spectrum(site, layers[i].layer);
    EXPECT_LT(support::relative_error(layers[i].lambda_max, exact.amax(1)), 1e-8);
    EXPECT_LT(support::relative_error(layers[i].lambda_min, exact.amin(1)), 1e-8);
    EXPECT_LT(support::relative_error(layers[i].spectral_norm, exact.abs().amax(1)), 1e-8);
    EXPECT_LT((layers[i].residual_norm / layers[i].spectral_norm).max().item<double>(), 1e-9);
    EXPECT_TRUE(layers[i].converged.all().item<bool>());
    EXPECT_TRUE((layers[i].norm_upper >= exact.abs().amax(1)).all().item<bool>());
    EXPECT_LT(support::relative_error(layers[i].norm_upper, exact.abs().amax(1)), 0.01);
    EXPECT_GT(layers[i].iterations.min().item<int>(), 0);
  }
}

INSTANTIATE_TEST_SUITE_P(EverySite, ModelProbe, testing::ValuesIn(models::all_sites()));

using ModelProbeOptions = ModelProbe;

TEST_P(ModelProbeOptions, MeasuresTheLayersAndTheEndThatAreRequested) {
  const auto layers = probe(model, batch, {.layers = {2, 0}, .ends = Ends::lower, .tolerance = 1e-9});
  ASSERT_EQ(layers.size(), 2U);
  for (std::size_t i = 0; i < 2; ++i) {
    const int64_t layer = layers[i].layer;
    EXPECT_EQ(layer, i == 0 ? 0 : 2);
    EXPECT_LT(support::relative_error(layers[i].lambda_min, spectrum(GetParam(), layer).amin(1)), 1e-8);
    EXPECT_TRUE(at::isnan(layers[i].lambda_max).all().item<bool>());
    const at::Tensor x =
        support::residuals_of(models::Forward(model), batch.tokens).at(static_cast<std::size_t>(layer));
    EXPECT_NEAR(layers[i].rms, x.square().mean().sqrt().item<double>(), 1e-12);
  }
}

TEST_P(ModelProbeOptions, GivesSequencesInTheOppositeOrderTheirOwnResults) {
  const ProbeModelOptions options{.tolerance = 1e-10, .max_iterations = 500};
  const auto layers = probe(model, batch, options);
  const auto swapped = probe(model, {batch.tokens.flip({0}), batch.targets.flip({0}), {}}, options);
  for (std::size_t i = 0; i < layers.size(); ++i) {
    EXPECT_LT(support::relative_error(swapped[i].lambda_max, layers[i].lambda_max.flip({0})), 1e-8) << i;
    EXPECT_LT(support::relative_error(swapped[i].lambda_min, layers[i].lambda_min.flip({0})), 1e-8) << i;
    EXPECT_GT(support::relative_error(swapped[i].lambda_max, layers[i].lambda_max), 1e-3) << "equal sequences";
    EXPECT_NEAR(swapped[i].rms, layers[i].rms, 1e-12) << i;
  }
}

TEST_P(ModelProbeOptions, AcceptsTrainableWeightsAndDoesNotChangeThem) {
  const auto before = probe(model, batch, {.layers = {1}});
  models::Model trained{model.config, {}};
  for (const auto& [name, tensor] : model.parameters) {
    trained.parameters.add(name, tensor.clone().requires_grad_());
  }
  const auto after = probe(trained, batch, {.layers = {1}});
  EXPECT_TRUE(at::equal(after.front().spectral_norm, before.front().spectral_norm));
  EXPECT_FALSE(after.front().spectral_norm.requires_grad());
  for (const auto& [name, tensor] : trained.parameters) {
    EXPECT_TRUE(tensor.requires_grad() && !tensor.grad().defined()) << name;
  }
}

TEST_P(ModelProbeOptions, RefusesLayersBatchesAndLimitsThatDoNotFit) {
  const auto message = [this](const models::TokenBatch& tokens, const ProbeModelOptions& options) -> std::string {
    try {
      probe(model, tokens, options);
    } catch (const std::invalid_argument& error) {
      return error.what();
    }
    return "accepted";
  };
  EXPECT_THAT(message(batch, {.layers = {99}}), testing::StartsWith("layers '99': expected all, or numbers"));
  const int64_t last = model.config.n_layers;
  EXPECT_THAT(message(batch, {.site = models::Site::ffn_in, .layers = {last}}),
              testing::HasSubstr("has no layer with the site ffn_in"));
  EXPECT_THAT(message({batch.tokens, batch.targets.narrow(1, 1, 1), {}}, {}),
              testing::HasSubstr("expected [S, T] of int64 for both"));
  EXPECT_THAT(message({batch.tokens, {}, {}}, {}), testing::HasSubstr("targets undefined"));
  EXPECT_THROW(probe(model, batch, {.memory_bytes = 1000}), std::runtime_error);
}

INSTANTIATE_TEST_SUITE_P(Residual, ModelProbeOptions, testing::Values(models::Site::residual));

}  // namespace
}  // namespace hessian::tests
