#include <c10/core/GradMode.h>
#include <gtest/gtest.h>

#include <cmath>
#include <stdexcept>
#include <string>
#include <vector>

#include "fixtures.h"
#include "hessian/dense_operator.h"
#include "hessian/finite_difference.h"
#include "hessian/models/named_models.h"
#include "refusal.h"
#include "tiny_models.h"

using hessian::models::Family;
using hessian::models::Forward;
using hessian::models::GptConfig;
using hessian::models::Model;
using hessian::models::Site;

namespace hessian::tests {
namespace {

constexpr int64_t sequences = 2;
constexpr int64_t positions = 5;

double largest(const at::Tensor& a) {
  return a.abs().max().item<double>();
}

/// Every family with every placement, at a tiny size, in float64. Weights are larger than fresh ones and gains are
/// random, so that every operation of the model affects the loss.
class FamilyAndPlacement : public testing::TestWithParam<GptConfig> {
 protected:
  static Model livened(const GptConfig& config) {
    auto generator = at::detail::createCPUGenerator(3);
    Model model{config, {}};
    for (const auto& [name, tensor] : models::initialise_model(config, 2).parameters) {
      const at::Tensor noise = at::randn(tensor.sizes(), generator, at::dtype(at::kDouble));
      model.parameters.add(name, tensor.to(at::kDouble) + 0.3 * noise);
    }
    return model;
  }

  /// Returns the activation at a site of a layer.
  at::Tensor activation(Site site, int64_t layer) const {
    const at::Tensor& residual = residuals[static_cast<std::size_t>(layer)];
    at::Tensor found = residual;
    if (site != Site::residual) {
      forward.through_layer(layer, residual,
                            [&](Site seen, const at::Tensor& value) { found = seen == site ? value : found; });
    }
    return found;
  }

  hessian::ProblemFunction losses_at(Site site, int64_t layer) const {
    return [this, site, layer](const at::Tensor& x, const hessian::ProblemIndices& problems) {
      return forward.losses_from_site(site, layer, x,
                                      hessian::rows_of(residuals[static_cast<std::size_t>(layer)], problems),
                                      hessian::rows_of(targets, problems));
    };
  }

  template <class Check>
  void for_every_site(const Check& check) const {
    for (const Site site : models::all_sites()) {
      for (int64_t layer = 0; layer < models::site_layers(config, site); ++layer) {
        SCOPED_TRACE(std::string(models::to_string(site)) + " of layer " + std::to_string(layer));
        check(site, layer);
      }
    }
  }

  GptConfig config = GetParam();
  Forward forward{livened(config)};
  at::Tensor tokens = support::random_tokens(config, sequences, positions, 4);
  at::Tensor targets = support::random_tokens(config, sequences, positions, 5);
  std::vector<at::Tensor> residuals = support::residuals_of(forward, tokens);
};

/// Returns the standard deviation of a fresh head, the embedding where the head is tied.
double head_std(const GptConfig& config) {
  switch (config.family) {
    case Family::llama2:
    case Family::llama3:
      return 1 / std::sqrt(static_cast<double>(config.dim));
    case Family::pythia:
      return std::sqrt(2.0 / (5.0 * static_cast<double>(config.dim)));
    default:
      return 0.02;
  }
}

TEST_P(FamilyAndPlacement, BeginsWithALossNearThatOfGuessing) {
  GptConfig sized = config;
  sized.dim = 64;
  sized.head_dim = 16;
  sized.vocab_size = 200;
  const c10::NoGradGuard no_grad;
  const Forward fresh(models::initialise_model(sized, 7));
  const at::Tensor inputs = support::random_tokens(sized, 4, 16, 8);
  const at::Tensor losses = fresh.losses(0, fresh.embed(inputs), support::random_tokens(sized, 4, 16, 9));
  // Logits of a normalised residual and a head of deviation s are normal with variance s^2 D, which costs half of that: 1/2
  // nat in Llama (0.49, since its head is truncated), 1/5 in pythia, next to nothing in the others.
  const double expected = std::log(200.0) + 0.49 * std::pow(head_std(sized), 2) * static_cast<double>(sized.dim);
  EXPECT_NEAR(losses.mean().item<double>(), expected, 0.35);
}

TEST_P(FamilyAndPlacement, HasEverySiteAtItsWidthInEveryLayer) {
  EXPECT_EQ(models::site_layers(config, Site::residual), config.n_layers + 1);
  for_every_site([&](Site site, int64_t layer) {
    const int64_t width = site == Site::ffn_down_in    ? config.ffn_hidden_dim
                          : site == Site::attn_proj_in ? config.n_heads * config.head_dim
                                                       : config.dim;
    EXPECT_EQ(activation(site, layer).sizes(), at::IntArrayRef({sequences, positions, width}));
  });
  std::vector<Site> seen;
  forward.through_layer(0, residuals[0], [&](Site site, const at::Tensor&) { seen.push_back(site); });
  EXPECT_EQ(seen, (std::vector<Site>{Site::attn_in, Site::attn_proj_in, Site::ffn_in, Site::ffn_down_in}));
}

TEST_P(FamilyAndPlacement, GivesTheLossFromTheTrueActivationOfEverySite) {
  const at::Tensor expected = forward.losses(0, residuals[0], targets);
  const at::Tensor log_probabilities = at::log_softmax(forward.logits(residuals.back()), -1);
  const at::Tensor direct = -log_probabilities.gather(2, targets.unsqueeze(2)).squeeze(2).mean(1);
  EXPECT_LT(largest(expected - direct), 1e-13);
  for_every_site([&](Site site, int64_t layer) {
    const at::Tensor x = activation(site, layer);
    EXPECT_LT(largest(losses_at(site, layer)(x, {0, 1}) - expected), 1e-13);
    const at::Tensor noise = at::randn(x.sizes(), at::detail::createCPUGenerator(6), at::dtype(at::kDouble));
    EXPECT_GT(largest(losses_at(site, layer)(x + 0.3 * noise, {0, 1}) - expected), 1e-6) << "the site has no effect";
  });
}

TEST_P(FamilyAndPlacement, HasProductsThatAgreeWithCentralDifferencesAtEverySite) {
  for_every_site([&](Site site, int64_t layer) {
    const at::Tensor x = activation(site, layer);
    const hessian::HessianOperator op(losses_at(site, layer), x);
    const at::Tensor v = at::randn({sequences, op.dim()}, at::detail::createCPUGenerator(10), at::dtype(at::kDouble));
    const at::Tensor product = op.apply(v.unsqueeze(1)).squeeze(1);
    const at::Tensor differences = hessian::central_difference_product(losses_at(site, layer), x, v);
    EXPECT_GT(largest(product), 1e-6);
    EXPECT_LT(largest(hessian::relative_difference(product, differences)), 1e-6);
  });
}

TEST_P(FamilyAndPlacement, IsCausal) {
  const at::Tensor logits = forward.logits(residuals.back());
  for (int64_t t = 0; t < positions; ++t) {
    at::Tensor changed = tokens.clone();
    changed.select(1, t).add_(1).remainder_(config.vocab_size);
    const at::Tensor difference = forward.logits(support::residuals_of(forward, changed).back()) - logits;
    if (t > 0) {
      EXPECT_LT(largest(difference.narrow(1, 0, t)), 1e-13) << "an earlier position saw token " << t;
    }
    for (int64_t later = t; later < positions; ++later) {
      EXPECT_GT(largest(difference.select(1, later)), 1e-9) << "position " << later << " did not see token " << t;
    }
  }
}

TEST_P(FamilyAndPlacement, LetsNoSequenceInfluenceAnother) {
  const auto of = [&](const at::Tensor& ids) { return forward.logits(support::residuals_of(forward, ids).back()); };
  const at::Tensor together = of(tokens);
  for (int64_t s = 0; s < sequences; ++s) {
    EXPECT_LT(largest(of(tokens.narrow(0, s, 1)) - together.narrow(0, s, 1)), 1e-12);
  }
  // So the Hessian is block-diagonal: the Hessian of each sequence on its own is a diagonal block, without a factor of
  // the batch size.
  const hessian::HessianOperator both(losses_at(Site::residual, 1), residuals[1]);
  const at::Tensor v = at::randn({1, 1, both.dim()}, at::detail::createCPUGenerator(11), at::dtype(at::kDouble));
  const at::Tensor product = both.apply(at::cat({v, at::zeros_like(v)}));
  EXPECT_EQ(largest(product[1]), 0.0);
  const auto first_alone = [&](const at::Tensor& x, const hessian::ProblemIndices&) {
    return forward.losses(1, x, targets.narrow(0, 0, 1));
  };
  const hessian::HessianOperator alone(first_alone, residuals[1].narrow(0, 0, 1));
  EXPECT_LT(largest(alone.apply(v)[0] - product[0]), 1e-12);
}

INSTANTIATE_TEST_SUITE_P(All, FamilyAndPlacement, testing::ValuesIn(support::all_tiny_configs()),
                         [](const auto& instance) { return support::instance_name(instance.param); });

TEST(Sites, SurviveTheRoundTrip) {
  for (const Site site : models::all_sites()) {
    EXPECT_EQ(models::parse_site(models::to_string(site)), site);
  }
  EXPECT_EQ(support::refusal_of([] { models::parse_site("mlp"); }),
            "'mlp' is not a site; known are residual, attn_in, attn_proj_in, ffn_in, ffn_down_in");
}

}  // namespace
}  // namespace hessian::tests
