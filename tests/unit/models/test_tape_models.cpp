#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "fixtures.h"
#include "hessian/models/forward.h"
#include "hessian/models/named_models.h"
#include "hessian/tape_operator.h"
#include "tiny_models.h"

namespace hessian::tests {
namespace {

using support::relative_error;

/// Expects the same products from the tape and from double backward at every site of every layer.
void expect_same_products(const models::Forward& forward, const at::Tensor& tokens, const at::Tensor& targets) {
  const auto residuals = support::residuals_of(forward, tokens);
  for (const models::Site site : models::all_sites()) {
    for (int64_t layer = 0; layer < models::site_layers(forward.config(), site); ++layer) {
      SCOPED_TRACE(models::site_name(site, layer));
      const at::Tensor& residual = residuals[static_cast<std::size_t>(layer)];
      at::Tensor activation = residual;
      if (site != models::Site::residual) {
        forward.through_layer(layer, residual, [&](models::Site seen, const at::Tensor& value) {
          activation = seen == site ? value : activation;
        });
      }
      const hessian::HessianOperator reference(
          [&](const at::Tensor& x, const hessian::ProblemIndices&) {
            return forward.losses_from_site(site, layer, x, residual, targets);
          },
          activation);
      const hessian::Program program = forward.losses_program(layer);
      const hessian::TapeOperator op(program, forward.parameters(), {residual, targets},
                                     program.sites.at(models::site_name(site, layer)));
      const at::Tensor v = at::randn({activation.size(0), 2, op.dim()},
                                     at::detail::createCPUGenerator(static_cast<uint64_t>(layer)), at::kDouble);
      EXPECT_LT(relative_error(op.apply(v), reference.apply(v)), 1e-9);
    }
  }
}

class TapeOfFixture : public testing::TestWithParam<support::Fixture> {};

TEST_P(TapeOfFixture, AgreesWithDoubleBackwardAtEverySite) {
  const models::Forward forward(support::load_fixture_model(GetParam(), at::kDouble));
  const hessian::Parameters expected = support::load_expected(GetParam());
  expect_same_products(forward, expected.at("tokens"), expected.at("targets"));
}

INSTANTIATE_TEST_SUITE_P(All, TapeOfFixture, testing::ValuesIn(support::all_fixtures()));

TEST(TapeOfModel, AgreesWithDoubleBackwardForEveryFamilyAndPlacement) {
  for (const models::GptConfig& config : support::all_tiny_configs()) {
    SCOPED_TRACE(support::name_of(config));
    models::Model model = models::initialise_model(config, 3);
    // Weights large enough for every primitive to have significant curvature.
    hessian::Parameters scaled;
    for (const auto& [name, tensor] : model.parameters) {
      scaled.add(name, tensor.dim() == 2 ? tensor.to(at::kDouble) * 10 : tensor.to(at::kDouble));
    }
    const models::Forward forward(models::Model{config, scaled});
    expect_same_products(forward, support::random_tokens(config, 2, 5, 7), support::random_tokens(config, 2, 5, 8));
  }
}

TEST(TapeOfModel, DifferentiatesAtAllLayersTogether) {
  const models::GptConfig config = support::tiny_config(models::Family::llama3, models::Placement::simplegpt);
  const models::Model model = models::initialise_model(config, 4);
  const models::Forward forward(models::Model{config, model.parameters.to(at::kCPU, at::kDouble)});
  const at::Tensor tokens = support::random_tokens(config, 2, 6, 9);
  const at::Tensor targets = support::random_tokens(config, 2, 6, 10);
  const auto residuals = support::residuals_of(forward, tokens);
  const hessian::Program program = forward.losses_program(0);
  hessian::TapeProblem problem{program, forward.parameters(), {residuals[0], targets}, {}, {}};
  for (int64_t layer = 0; layer <= config.n_layers; ++layer) {
    problem.values.push_back(program.sites.at(models::site_name(models::Site::residual, layer)));
  }
  hessian::TapeProblem with_checkpoints = problem;
  with_checkpoints.checkpoints.assign(problem.values.begin() + 1, problem.values.end());
  const hessian::TapeOperator together(problem);
  const hessian::TapeOperator in_parts(with_checkpoints);
  const at::Tensor v =
      at::randn({together.problems(), 3, together.dim()}, at::detail::createCPUGenerator(11), at::kDouble);
  const at::Tensor products = together.apply(v);
  EXPECT_LT(relative_error(in_parts.apply(v), products), 1e-12);
  for (int64_t layer = 0; layer <= config.n_layers; ++layer) {
    const hessian::Program rest = forward.losses_program(layer);
    const hessian::TapeOperator alone(rest, forward.parameters(), {residuals[static_cast<std::size_t>(layer)], targets},
                                      0);
    EXPECT_LT(relative_error(products.narrow(0, 2 * layer, 2), alone.apply(v.narrow(0, 2 * layer, 2))), 1e-9) << layer;
  }
}

}  // namespace
}  // namespace hessian::tests
