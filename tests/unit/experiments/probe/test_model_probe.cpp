#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <stdexcept>
#include <string>

#include "fixtures.h"
#include "hessian/dense_operator.h"
#include "hessian/hessian_operator.h"
#include "hessian/probe.h"
#include "probe/measurement.h"
#include "probe/report.h"
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
  const ProbeModelOptions options{.ends = Ends::both, .tolerance = 1e-10, .max_iterations = 500};
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

/// Returns a copy of the model in a precision with one matrix multiplied by a factor.
models::Model with_scaled(const models::Model& model, at::ScalarType dtype, const std::string& weight, double factor) {
  models::Model scaled{model.config, {}};
  for (const auto& [name, tensor] : model.parameters) {
    scaled.parameters.add(name, (name == weight ? tensor * factor : tensor).to(dtype));
  }
  return scaled;
}

TEST_P(ModelProbeOptions, RefusesNormsWhoseSquaresOverflow) {
  const std::string weight = "layers.1.attention.sno.lin.weight";
  for (const at::ScalarType dtype : {at::kFloat, at::kBFloat16}) {
    const auto refusal = [&](double factor) -> std::string {
      try {
        probe(with_scaled(model, dtype, weight, factor), batch, {.layers = {0}, .certify = 0.05});
      } catch (const std::runtime_error& error) {
        return error.what();
      }
      return "accepted";
    };
    EXPECT_EQ(refusal(1e10), "accepted");
    const std::string type = dtype == at::kFloat ? "float32" : "bfloat16";
    EXPECT_THAT(refusal(1e30), testing::MatchesRegex(
                                   "probe, sequence 0, layer 1: the squares of the input of RMSNorm "
                                   "'layers.1.attention.sno.norm.weight', whose entries reach [0-9.e+]+, overflow in " +
                                   type +
                                   ", so that all curvature before it would look like zero; convert the model to "
                                   "float64"));
  }
  // In float64 the norm undoes the factor, up to its eps.
  const auto wide = probe(with_scaled(model, at::kDouble, weight, 1e30), batch, {.layers = {0}, .tolerance = 1e-6});
  const auto plain = probe(model, batch, {.layers = {0}, .tolerance = 1e-6});
  EXPECT_LT(support::relative_error(wide[0].spectral_norm, plain[0].spectral_norm), 1e-2);
}

TEST_P(ModelProbeOptions, RefusesWeightsAndValuesThatAreNotFinite) {
  const auto refusal = [&](double factor) -> std::string {
    try {
      probe(with_scaled(model, at::kFloat, "layers.0.feed_forward.sn2.lin.weight", factor), batch, {});
    } catch (const std::runtime_error& error) {
      return error.what();
    }
    return "accepted";
  };
  for (const double factor : {std::numeric_limits<double>::quiet_NaN(), 1e60}) {
    EXPECT_EQ(refusal(factor),
              "probe: the weight layers.0.feed_forward.sn2.lin.weight has entries that are not finite in float32");
  }
  EXPECT_THAT(refusal(1e38), testing::AnyOf(testing::HasSubstr("not finite"), testing::HasSubstr("overflow")));
}

/// A measurement of a model in memory, as training makes it.
experiments::ProbeMeasurement measurement_of(const models::Model& model, const models::TokenBatch& batch) {
  experiments::ProbeOptions options;
  options.engine = experiments::Engine::tape;
  options.joint_sets = 1;
  return {options, {models::Forward(model), batch.tokens, batch.targets, 0, ""}, at::kCPU};
}

TEST_P(ModelProbeOptions, OfTrainingNeedNoProductsForSequencesThatOverflow) {
  // Weights as a diverged run leaves them.
  auto measurement = measurement_of(
      with_scaled(model, at::kFloat, "layers.0.feed_forward.sn2.lin.weight", std::numeric_limits<double>::quiet_NaN()),
      batch);
  const auto rows = measurement.measure(0);
  ASSERT_FALSE(rows.empty());
  for (const experiments::ProbeRow& row : rows) {
    for (std::size_t sequence = 0; sequence < row.spectral_norm.size(); ++sequence) {
      EXPECT_TRUE(std::isnan(row.spectral_norm[sequence]));
      EXPECT_TRUE(std::isnan(row.residual_norm[sequence]));
      EXPECT_TRUE(std::isnan(row.norm_upper[sequence]));
      EXPECT_EQ(row.converged[sequence], 0);
      EXPECT_EQ(row.iterations[sequence], 0);
    }
  }
  experiments::ProbeReport report;
  report.rows = rows;
  report.losses = {1};
  report.sequences = static_cast<int64_t>(rows[0].spectral_norm.size());
  EXPECT_THAT(experiments::warnings_of(report), testing::ElementsAre(testing::HasSubstr("norms are not finite")));
  EXPECT_THAT(experiments::format_table(report), testing::Not(testing::ContainsRegex("nan[^a-z]")));
}

TEST_P(ModelProbeOptions, OfTrainingLeaveTheSequencesThatDoNotOverflowAsTheyAre) {
  // A token whose embedding overflows occurs only in the first sequence.
  models::TokenBatch tokens{batch.tokens.clone(), batch.targets, {}};
  tokens.tokens.masked_fill_(tokens.tokens == 3, 4);
  const auto plain_rows = measurement_of(with_scaled(model, at::kFloat, "", 1), tokens).measure(0);
  tokens.tokens[0][0] = 3;
  models::Model spoilt = with_scaled(model, at::kFloat, "", 1);
  const at::Tensor table = spoilt.parameters.at("tok_embeddings.weight");
  table[3].fill_(1e25);  // its squares overflow
  const auto spoilt_rows = measurement_of(spoilt, tokens).measure(0);
  for (std::size_t i = 0; i < plain_rows.size(); ++i) {
    EXPECT_TRUE(std::isnan(spoilt_rows[i].spectral_norm[0]));
    EXPECT_EQ(spoilt_rows[i].converged[0], 0);
    EXPECT_EQ(spoilt_rows[i].converged[1], 1);
    EXPECT_NEAR(spoilt_rows[i].spectral_norm[1], plain_rows[i].spectral_norm[1], 1e-2 * plain_rows[i].spectral_norm[1]);
  }
}

INSTANTIATE_TEST_SUITE_P(Residual, ModelProbeOptions, testing::Values(models::Site::residual));

}  // namespace
}  // namespace hessian::tests
