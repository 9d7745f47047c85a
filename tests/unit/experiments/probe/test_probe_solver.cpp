#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <ATen/CPUGeneratorImpl.h>
#include <set>

#include "fixtures.h"
#include "hessian/dense_operator.h"
#include "hessian/hessian_operator.h"
#include "hessian/memory.h"
#include "hessian/models/named_models.h"
#include "probe/memory_plan.h"
#include "probe/problem.h"
#include "probe/solver.h"
#include "probe/subject.h"
#include "refusal.h"

namespace hessian::tests {
namespace {

using experiments::Engine;
using experiments::Method;
using experiments::ProbeOptions;
using experiments::Unit;

const std::string& word_of(Method method) {
  return experiments::method_words.at(static_cast<std::size_t>(method));
}

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
  hessian::ProblemFunction losses = experiments::site_losses(forward, site, 1, residual, targets);
  experiments::ProbeProblem problem =
      experiments::probe_problem(std::get<1>(GetParam()), forward, site, {1}, residual, targets);
  std::vector<int64_t> positions = {1, 3};

  static experiments::MemoryPlan plan_of(int64_t sequences, int64_t max_basis) {
    experiments::MemoryPlan plan;
    plan.sequences_at_once = sequences;
    plan.max_basis = max_basis;
    return plan;
  }

  ProbeOptions options_with(Unit unit, Method method) const {
    ProbeOptions options;
    options.unit = unit;
    options.method = method;
    options.ends = Ends::both;
    options.tolerance = 1e-9;
    return options;
  }
};

TEST_P(ProbeSolver, FindsTheEndsOfTheDenseSpectrumWithEveryMethod) {
  const at::Tensor spectrum = at::linalg_eigvalsh(hessian::to_dense(hessian::HessianOperator(losses, x)));
  for (const Method method : {Method::lanczos, Method::spectra}) {
    const auto result =
        experiments::solve(options_with(Unit::sequence, method), plan_of(2, 64), problem, positions).at(0);
    EXPECT_LT(support::relative_error(result.lambda_max, spectrum.amax(1)), 1e-8) << word_of(method);
    EXPECT_LT(support::relative_error(result.lambda_min, spectrum.amin(1)), 1e-8) << word_of(method);
    if (method == Method::lanczos) {
      EXPECT_TRUE((result.lambda_max_upper >= spectrum.amax(1)).all().item<bool>());
      EXPECT_TRUE((result.lambda_min_lower <= spectrum.amin(1)).all().item<bool>());
      EXPECT_LT(support::relative_error(result.norm_upper(), spectrum.abs().amax(1)), 0.01);
    } else {
      EXPECT_TRUE(result.norm_upper().isnan().all().item<bool>());
    }
  }
}

TEST_P(ProbeSolver, FindsTheSpectralNormFromTheDominantEndWithEveryMethod) {
  const at::Tensor spectrum = at::linalg_eigvalsh(hessian::to_dense(hessian::HessianOperator(losses, x)));
  for (const Method method : {Method::lanczos, Method::power, Method::spectra}) {
    ProbeOptions options = options_with(Unit::sequence, method);
    options.ends = hessian::Ends::dominant;
    options.tolerance = 1e-5;  // power iteration stalls if two magnitudes are close
    options.max_iterations = 5000;
    const auto result = experiments::solve(options, plan_of(2, 64), problem, positions).at(0);
    EXPECT_LT(support::relative_error(result.spectral_norm(), spectrum.abs().amax(1)), 1e-4) << word_of(method);
    EXPECT_TRUE(result.converged.all().item<bool>()) << word_of(method);
    EXPECT_EQ(at::isnan(result.lambda_max).sum().item<int>() + at::isnan(result.lambda_min).sum().item<int>(), 2);
  }
}

TEST_P(ProbeSolver, RestrictsTheHessianToOnePositionForUnitToken) {
  const at::Tensor dense = hessian::to_dense(hessian::HessianOperator(losses, x));
  const int64_t width = x.size(-1);
  const auto result =
      experiments::solve(options_with(Unit::token, Method::lanczos), plan_of(2, 64), problem, positions).at(0);
  for (int64_t i = 0; i < 2; ++i) {
    const int64_t start = positions[static_cast<std::size_t>(i)] * width;
    const at::Tensor spectrum = at::linalg_eigvalsh(dense[i].narrow(0, start, width).narrow(1, start, width));
    EXPECT_NEAR(result.lambda_max[i].item<double>(), spectrum.max().item<double>(), 1e-9);
    EXPECT_NEAR(result.lambda_min[i].item<double>(), spectrum.min().item<double>(), 1e-9);
  }
}

TEST_P(ProbeSolver, GivesTheSameNumbersInGroupsAsAtOnce) {
  const ProbeOptions options = options_with(Unit::sequence, Method::lanczos);
  const auto at_once = experiments::solve(options, plan_of(2, 64), problem, positions).at(0);
  const auto in_groups = experiments::solve(options, plan_of(1, 16), problem, positions).at(0);
  EXPECT_LT(support::relative_error(in_groups.lambda_max, at_once.lambda_max), 1e-8);
  EXPECT_LT(support::relative_error(in_groups.lambda_min, at_once.lambda_min), 1e-8);
}

TEST_P(ProbeSolver, NamesTheMemoryLimitThatOneSequenceNeeds) {
  ProbeOptions options = options_with(Unit::sequence, Method::lanczos);
  options.engine = std::get<1>(GetParam());
  options.memory_bytes = 1000;
  const experiments::ProblemOf problem_of = [&](int64_t, int64_t count) {
    return experiments::probe_problem(*options.engine, forward, site, {1}, residual.narrow(1, 0, count),
                                      targets.narrow(1, 0, count));
  };
  EXPECT_THAT(support::refusal_of([&] { experiments::plan_memory(options, {at::kCPU}, 1, 2, 4, problem_of); }),
              testing::MatchesRegex("one sequence of 4 tokens needs .*, 1.0 KiB are allowed; give --memory .*"));
}

INSTANTIATE_TEST_SUITE_P(EverySiteAndEngine, ProbeSolver,
                         testing::Combine(testing::ValuesIn(models::all_sites()),
                                          testing::Values(Engine::tape, Engine::autograd)));

/// A model whose activations need far more memory than its weights and all other memory that a plan cannot reduce.
class ProbeMemory : public testing::TestWithParam<Engine> {
 protected:
  models::GptConfig config = [] {
    models::GptConfig chosen = models::parse_model_name("new:llama2-20M-simplegpt", 64);
    chosen.dim = 32;
    chosen.head_dim = 16;
    chosen.n_heads = chosen.n_kv_heads = 2;
    chosen.ffn_hidden_dim = 96;
    return chosen;
  }();
  models::Forward forward{models::initialise_model(config, 3)};
  at::Tensor tokens = at::randint(64, {4, 64}, at::detail::createCPUGenerator(1), at::kLong);
  at::Tensor targets = at::randint(64, {4, 64}, at::detail::createCPUGenerator(2), at::kLong);
  std::vector<at::Tensor> residuals = support::residuals_of(forward, tokens);
  std::vector<int64_t> layers = hessian::all_problems(config.n_layers + 1);

  ProbeOptions options_with(int64_t memory_bytes) const {
    ProbeOptions options;
    options.engine = GetParam();
    options.max_iterations = 16;
    options.memory_bytes = memory_bytes;
    return options;
  }

  experiments::ProbeProblem problem_of(int64_t first, int64_t count, int64_t positions) const {
    const auto begin = layers.begin() + first;
    return experiments::probe_problem(GetParam(), forward, models::Site::residual, {begin, begin + count},
                                      residuals[static_cast<std::size_t>(first)].narrow(1, 0, positions),
                                      targets.narrow(1, 0, positions));
  }

  experiments::MemoryPlan plan_for(const ProbeOptions& options) const {
    return experiments::plan_memory(
        options, {at::kCPU}, config.n_layers + 1, 4, 64,
        [this](int64_t count, int64_t positions) { return problem_of(0, count, positions); });
  }

  /// Returns the peak memory, in bytes, of a probe of all layers that follows the plan.
  int64_t peak_of(const ProbeOptions& options, const experiments::MemoryPlan& plan) const {
    const hessian::MemoryScope scope;
    for (int64_t first = 0; first < std::ssize(layers); first += plan.layers_at_once) {
      const int64_t count = std::min(plan.layers_at_once, std::ssize(layers) - first);
      experiments::solve(options, plan, problem_of(first, count, 64), {});
    }
    return scope.peak_bytes();
  }
};

TEST_P(ProbeMemory, StaysWithinThePlanForEveryLimit) {
  const bool tape = GetParam() == Engine::tape;
  std::vector<int64_t> limits = {1LL << 32, 12LL << 20};
  if (tape) {
    limits.insert(limits.end(), {24LL << 20, 6LL << 20, 3LL << 20});
  }
  std::set<std::string> ways;
  for (const int64_t allowed : limits) {
    SCOPED_TRACE(hessian::format_bytes(allowed) + " allowed");
    ProbeOptions options = options_with(allowed);
    // A limit beyond the size of the basis, which is therefore allocated in full, and few products.
    options.max_iterations = 200;
    options.tolerance = 0.5;
    const experiments::MemoryPlan plan = plan_for(options);
    SCOPED_TRACE(describe(plan, models::Site::residual));
    ways.insert(describe(plan, models::Site::residual));
    const auto peak = static_cast<double>(peak_of(options, plan));
    const auto planned = static_cast<double>(plan.predicted_bytes.value());
    EXPECT_LE(planned, static_cast<double>(allowed));
    EXPECT_LT(peak, 1.02 * planned);
    EXPECT_GT(peak, 0.9 * planned);
  }
  EXPECT_GE(ways.size(), tape ? 4U : 2U);
}

TEST_P(ProbeMemory, StaysWithinThePlanForBothEnds) {
  // Vectors of both ends are verified together only if the plan says that they fit.
  for (const int64_t allowed : {1LL << 32, GetParam() == Engine::tape ? 3LL << 20 : 12LL << 20}) {
    SCOPED_TRACE(hessian::format_bytes(allowed) + " allowed");
    ProbeOptions options = options_with(allowed);
    options.ends = hessian::Ends::both;
    const experiments::MemoryPlan plan = plan_for(options);
    EXPECT_LT(static_cast<double>(peak_of(options, plan)), 1.1 * static_cast<double>(plan.predicted_bytes.value()));
  }
  EXPECT_EQ(plan_for(options_with(1LL << 32)).verified_at_once, 1);  // the dominant end has one vector
}

TEST_P(ProbeMemory, DoesNotChangeTheResults) {
  const ProbeOptions free = options_with(1LL << 32);
  const ProbeOptions scarce = options_with(GetParam() == Engine::tape ? 3LL << 20 : 6LL << 20);
  const auto plan = plan_for(free);
  const auto narrow_plan = plan_for(scarce);
  EXPECT_LT(*narrow_plan.predicted_bytes * 2, *plan.predicted_bytes);
  // Compares the last layer, which both plans solve from the same start vectors.
  const int64_t last = config.n_layers;
  const auto all = experiments::solve(free, plan, problem_of(0, plan.layers_at_once, 64), {});
  const auto alone = experiments::solve(scarce, narrow_plan, problem_of(last, 1, 64), {});
  const auto same =
      plan.layers_at_once > 1 ? all.back() : experiments::solve(free, plan, problem_of(last, 1, 64), {}).back();
  EXPECT_LT(support::relative_error(alone.front().lambda_max, same.lambda_max), 0.02);  // 16 products do not converge
}

TEST_P(ProbeMemory, OfAGroupIsReleasedBeforeTheNext) {
  // The peak of all layers one by one is that of the first, which differentiates through all layers, and not a sum.
  const ProbeOptions options = options_with(1LL << 32);
  experiments::MemoryPlan plan;
  plan.sequences_at_once = 4;
  const hessian::MemoryScope scope;
  experiments::solve(options, plan, problem_of(0, 1, 64), {});
  const int64_t first = scope.peak_bytes();
  const int64_t all = peak_of(options, plan);
  EXPECT_GT(first, 0);
  EXPECT_LT(static_cast<double>(all), 1.1 * static_cast<double>(first));
}

INSTANTIATE_TEST_SUITE_P(Engines, ProbeMemory, testing::Values(Engine::tape, Engine::autograd));

TEST(ProbeSolverOfLayers, FindsTheSameTogetherAndOneByOne) {
  const support::Fixture fixture = support::dense_fixtures().at(5);
  const models::Forward forward(support::load_fixture_model(fixture, at::kDouble));
  const hessian::Parameters expected = support::load_expected(fixture);
  const auto residuals = support::residuals_of(forward, expected.at("tokens"));
  const at::Tensor targets = expected.at("targets");
  ProbeOptions options;
  options.ends = Ends::both;
  options.tolerance = 1e-6;
  for (const models::Site site : models::all_sites()) {
    SCOPED_TRACE(models::to_string(site));
    const auto layers = hessian::all_problems(models::site_layers(forward.config(), site));
    experiments::MemoryPlan plan;
    plan.sequences_at_once = 2;
    const auto together = experiments::solve(
        options, plan, experiments::probe_problem(Engine::tape, forward, site, layers, residuals[0], targets), {});
    for (const int64_t layer : layers) {
      const auto place = static_cast<std::size_t>(layer);
      const auto alone = experiments::solve(
          options, plan, experiments::probe_problem(Engine::tape, forward, site, {layer}, residuals[place], targets),
          {});
      EXPECT_LT(support::relative_error(together[place].lambda_max, alone[0].lambda_max), 1e-9) << "layer " << layer;
      EXPECT_LT(support::relative_error(together[place].lambda_min, alone[0].lambda_min), 1e-9) << "layer " << layer;
      EXPECT_TRUE(at::equal(together[place].iterations, alone[0].iterations)) << "layer " << layer;
    }
  }
}

}  // namespace
}  // namespace hessian::tests
