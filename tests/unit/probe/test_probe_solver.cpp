#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "fixtures.h"
#include "hessian/dense_operator.h"
#include "hessian/hessian_operator.h"
#include "hessian/memory.h"
#include "probe_problem.h"
#include "probe_solver.h"
#include "probe_subject.h"

namespace {

using experiments::Engine;
using experiments::Method;
using experiments::ProbeOptions;
using experiments::Unit;

/// A tiny model of the fixtures, its activation at a site, and the losses as a function of it.
class ProbeSolver : public testing::TestWithParam<std::tuple<models::Site, Engine>> {
 protected:
  support::Fixture fixture = support::dense_fixtures().at(5);  // llama3, simplegpt
  hessian::Parameters expected = support::load_expected(fixture);
  models::Forward forward{support::load_fixture_model(fixture, at::kDouble)};
  at::Tensor residual = support::residuals_of(forward, expected.at("tokens")).at(1);
  models::Site site = std::get<0>(GetParam());
  at::Tensor targets = expected.at("targets");
  at::Tensor x = experiments::site_activation(forward, site, 1, residual);
  hessian::BlockFunction losses = experiments::site_losses(forward, site, 1, residual, targets);
  experiments::ProbeProblem problem =
      experiments::probe_problem(std::get<1>(GetParam()), forward, site, 1, residual, targets);
  std::vector<int64_t> positions = {1, 3};

  ProbeOptions options_with(Unit unit, Method method) const {
    ProbeOptions options;
    options.unit = unit;
    options.method = method;
    options.tolerance = 1e-9;
    return options;
  }
};

TEST_P(ProbeSolver, FindsTheEndsOfTheDenseSpectrumWithEveryMethod) {
  const at::Tensor spectrum = at::linalg_eigvalsh(hessian::to_dense(hessian::HessianOperator(losses, x)));
  for (const Method method : {Method::lanczos, Method::spectra}) {
    const auto result = experiments::solve(options_with(Unit::sequence, method), {2, 64}, problem, positions);
    EXPECT_LT(support::relative_error(result.lambda_max, spectrum.amax(1)), 1e-8) << to_string(method);
    EXPECT_LT(support::relative_error(result.lambda_min, spectrum.amin(1)), 1e-8) << to_string(method);
  }
}

TEST_P(ProbeSolver, TakesTheBlockOfOnePositionForUnitToken) {
  const at::Tensor dense = hessian::to_dense(hessian::HessianOperator(losses, x));
  const int64_t width = x.size(-1);
  const auto result = experiments::solve(options_with(Unit::token, Method::lanczos), {2, 64}, problem, positions);
  for (int64_t i = 0; i < 2; ++i) {
    const int64_t start = positions[static_cast<std::size_t>(i)] * width;
    const at::Tensor spectrum = at::linalg_eigvalsh(dense[i].narrow(0, start, width).narrow(1, start, width));
    EXPECT_NEAR(result.lambda_max[i].item<double>(), spectrum.max().item<double>(), 1e-9);
    EXPECT_NEAR(result.lambda_min[i].item<double>(), spectrum.min().item<double>(), 1e-9);
  }
}

TEST_P(ProbeSolver, GivesTheSameNumbersInGroupsAsAtOnce) {
  const ProbeOptions options = options_with(Unit::sequence, Method::lanczos);
  const auto at_once = experiments::solve(options, {2, 64}, problem, positions);
  const auto in_groups = experiments::solve(options, {1, 16}, problem, positions);
  EXPECT_LT(support::relative_error(in_groups.lambda_max, at_once.lambda_max), 1e-8);
  EXPECT_LT(support::relative_error(in_groups.lambda_min, at_once.lambda_min), 1e-8);
}

TEST_P(ProbeSolver, PlansAsManySequencesAsMemoryAllowsAndSaysWhatWouldDo) {
  ProbeOptions options = options_with(Unit::sequence, Method::lanczos);
  options.memory_bytes = int64_t{1} << 40;
  EXPECT_EQ(experiments::plan_memory(options, at::kCPU, problem).sequences_at_once, 2);
  options.memory_bytes = 1000;
  try {
    experiments::plan_memory(options, at::kCPU, problem);
    ADD_FAILURE() << "1000 bytes were enough";
  } catch (const std::runtime_error& error) {
    EXPECT_THAT(error.what(),
                testing::MatchesRegex("one sequence of 4 tokens needs .*, 1.0 KiB are allowed; give --memory .*"));
  }
}

INSTANTIATE_TEST_SUITE_P(EverySiteAndEngine, ProbeSolver,
                         testing::Combine(testing::ValuesIn(models::all_sites()),
                                          testing::Values(Engine::tape, Engine::autograd)));

class ProbeMemory : public testing::TestWithParam<Engine> {};

TEST_P(ProbeMemory, OfALayerIsReleasedBeforeTheNext) {
  // The peak of all layers together is that of the first, which differentiates through all blocks, and not a sum.
  const support::Fixture fixture = support::all_fixtures().at(6);
  const models::Forward forward(support::load_fixture_model(fixture, at::kFloat));
  const hessian::Parameters expected = support::load_expected(fixture);
  const auto residuals = support::residuals_of(forward, expected.at("tokens"));
  const auto peak_of = [&](int64_t layers) {
    const hessian::MemoryScope scope;
    for (int64_t layer = 0; layer < layers; ++layer) {
      const at::Tensor& residual = residuals[static_cast<std::size_t>(layer)];
      const auto problem = experiments::probe_problem(GetParam(), forward, models::Site::residual, layer, residual,
                                                      expected.at("targets"));
      experiments::solve(ProbeOptions{}, {3, 64}, problem, {});
    }
    return scope.peak_bytes();
  };
  const int64_t first = peak_of(1);
  const int64_t all = peak_of(forward.config().n_layers + 1);
  EXPECT_GT(first, 0);
  EXPECT_LT(static_cast<double>(all), 1.1 * static_cast<double>(first));
}

INSTANTIATE_TEST_SUITE_P(Engines, ProbeMemory, testing::Values(Engine::tape, Engine::autograd));

}  // namespace
