#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "fixtures.h"
#include "hessian/models/checkpoint.h"
#include "hessian/models/forward.h"
#include "hessian/models/weight_stream.h"
#include "hessian/tape_operator.h"

namespace hessian::tests {
namespace {

using support::Fixture;
using support::relative_error;

/// A precision, and how far its results may be from the references. Those are exact to 1e-12 of the largest entry.
struct Precision {
  at::ScalarType dtype;
  double tolerance;
};
const std::vector<Precision> precisions = {{at::kDouble, 1e-10}, {at::kFloat, 1e-4}};

// The references are what transformers computes in float64 throughout. Its loss is the mean over all sequences.
class ArchitectureReference : public testing::TestWithParam<Fixture> {
 protected:
  /// Returns the parameters of the fixture in memory, and as they are streamed from its file.
  std::vector<Parameters> parameters_in(at::ScalarType dtype) const {
    const auto deferred =
        models::load_checkpoint(support::fixture_path(GetParam().model), models::WeightAccess::deferred);
    return {support::load_fixture_model(GetParam(), dtype).parameters,
            models::stream_weights(deferred.model, at::kCPU, dtype)};
  }

  models::Forward forward_in(at::ScalarType dtype, Derivatives derivatives) const {
    return models::Forward(support::load_fixture_model(GetParam(), dtype), Numerics::wide, derivatives);
  }

  at::Tensor reference(const std::string& name, int64_t layer) const {
    return expected.at(name + "." + std::to_string(layer));
  }

  /// Returns how far products of an operator with the reference's vectors are from its products.
  double product_error(const LinearOperator& op, int64_t layer) const {
    const at::Tensor v = reference("v", layer);
    const at::Tensor product = op.apply(v.flatten(1).unsqueeze(1).to(op.vector_options())).view_as(v);
    return relative_error(product / static_cast<double>(v.size(0)), reference("hvp", layer));
  }

  Parameters expected = support::load_expected(GetParam());
  at::Tensor tokens = expected.at("tokens");
  at::Tensor targets = expected.at("targets");
};

TEST_P(ArchitectureReference, TapeGivesTheProductsWithAllValuesKeptWithCheckpointsAndWithStreamedWeights) {
  for (const auto& [dtype, tolerance] : precisions) {
    const models::Forward forward = forward_in(dtype, Derivatives::any);
    const auto residuals = support::residuals_of(forward, tokens);
    for (const Parameters& parameters : parameters_in(dtype)) {
      for (int64_t layer = 0; layer <= forward.config().n_layers; ++layer) {
        const Program program = forward.losses_program(layer);
        TapeProblem problem{program, parameters, {residuals[static_cast<std::size_t>(layer)], targets}, {0}};
        EXPECT_LT(product_error(TapeOperator(problem), layer), tolerance) << "layer " << layer;
        for (int64_t later = layer + 1; later <= forward.config().n_layers; ++later) {
          problem.checkpoints.push_back(program.sites.at(models::site_name(models::Site::residual, later)));
        }
        EXPECT_LT(product_error(TapeOperator(problem), layer), tolerance) << "layer " << layer << ", checkpoints";
      }
    }
  }
}

TEST_P(ArchitectureReference, AutogradGivesTheProducts) {
  for (const auto& [dtype, tolerance] : precisions) {
    const models::Forward forward = forward_in(dtype, Derivatives::any);
    const auto residuals = support::residuals_of(forward, tokens);
    for (int64_t layer = 0; layer <= forward.config().n_layers; ++layer) {
      const HessianOperator op(support::residual_losses(forward, layer, targets),
                               residuals[static_cast<std::size_t>(layer)]);
      EXPECT_LT(product_error(op, layer), tolerance) << "layer " << layer;
    }
  }
}

TEST_P(ArchitectureReference, KernelsWithOneDerivativeGiveLogitsLossAndGradients) {
  for (const auto& [dtype, tolerance] : precisions) {
    const models::Forward forward = forward_in(dtype, Derivatives::first);
    const auto residuals = support::residuals_of(forward, tokens);
    EXPECT_LT(relative_error(forward.logits(residuals.back()), expected.at("logits")), tolerance);
    for (int64_t layer = 0; layer <= forward.config().n_layers; ++layer) {
      const auto result = value_and_gradient(support::residual_losses(forward, layer, targets),
                                             residuals[static_cast<std::size_t>(layer)], all_problems(tokens.size(0)));
      EXPECT_LT(relative_error(result.value.mean().view({1}), expected.at("loss")), tolerance) << "layer " << layer;
      const auto sequences = static_cast<double>(tokens.size(0));
      EXPECT_LT(relative_error(result.gradient / sequences, reference("dx", layer)), tolerance) << "layer " << layer;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(All, ArchitectureReference, testing::ValuesIn(support::architecture_fixtures()));

}  // namespace
}  // namespace hessian::tests
