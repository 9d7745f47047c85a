// Trains on tasks whose attainable loss is known.

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cmath>
#include <numeric>
#include <random>
#include <string>
#include <vector>

#include "tiny_models.h"
#include "training_support.h"

namespace hessian::tests {
namespace {

using experiments::TrainConfig;
using experiments::Training;
using support::TemporaryFolder;
using support::training_of;

/// Returns the shape of a model with one layer and a vocabulary of `words`. Its caps are the family's own, and its window has
/// all tokens that a task needs.
models::GptConfig small_config(models::Family family, models::Placement placement, int64_t words) {
  models::GptConfig config = support::tiny_config(family, placement);
  config.dim = 16;
  config.head_dim = 4;
  config.ffn_hidden_dim = 32;
  config.n_layers = 1;
  config.vocab_size = words;
  config.window = config.window > 0 ? 12 : 0;
  config.attention_cap = models::family_defaults(family).attention_cap;
  config.logit_cap = models::family_defaults(family).logit_cap;
  return config;
}

/// Returns the same with the placement of the family.
models::GptConfig own_config(models::Family family, int64_t words) {
  return small_config(family, models::family_defaults(family).placement, words);
}

TrainConfig task(const std::string& source, int64_t steps) {
  TrainConfig config;
  config.steps = steps;
  config.data.source = source;
  config.data.seq_len = 16;
  config.data.batch_size = 16;
  config.optimizer.lr = 1e-2;
  config.optimizer.weight_decay = 0;
  config.schedule.name = "cosine";
  config.schedule.warmup = 10;
  config.validation.sequences = 64;
  return config;
}

struct Outcome {
  double training = 0;    ///< mean of the last quarter's losses
  double validation = 0;  ///< at the end
};

Outcome train(const TrainConfig& config, const models::GptConfig& architecture) {
  Training training = training_of(config, models::initialise_model(architecture, 61));
  std::vector<double> losses;
  for (int64_t step = 0; step < config.steps; ++step) {
    losses.push_back(training.update().loss);
  }
  const auto tail = static_cast<std::ptrdiff_t>(losses.size() / 4);
  return {std::accumulate(losses.end() - tail, losses.end(), 0.0) / static_cast<double>(tail), training.validate()};
}

/// Samples a first-order Markov chain with these rows of transition probabilities.
at::Tensor markov_chain(const std::vector<std::vector<double>>& rows, int64_t length, unsigned seed) {
  std::mt19937 random(seed);
  at::Tensor tokens = at::empty({length}, at::kLong);
  auto* out = tokens.data_ptr<int64_t>();
  int64_t state = 0;
  for (int64_t i = 0; i < length; ++i) {
    const auto& row = rows[static_cast<std::size_t>(state)];
    state = std::discrete_distribution<int64_t>(row.begin(), row.end())(random);
    out[i] = state;
  }
  return tokens;
}

/// Computes sum_i pi_i H(row i), with the stationary distribution pi from a high power of the transition matrix.
double entropy_rate(const std::vector<std::vector<double>>& rows) {
  std::vector<double> flat;
  for (const auto& row : rows) {
    flat.insert(flat.end(), row.begin(), row.end());
  }
  const auto n = static_cast<int64_t>(rows.size());
  const at::Tensor p = at::tensor(flat, at::kDouble).view({n, n});
  const at::Tensor stationary = at::matrix_power(p, 1000)[0];
  return (stationary * -(p * p.log()).sum(1)).sum().item<double>();
}

class KnownEntropy : public testing::TestWithParam<models::Family> {};

// The file is so long that no window repeats and nothing can be memorised. The last quarter of the steps has 75 batches
// of 256 tokens, whose losses vary by about 0.5 nats per token, so by 0.004 in the mean: no mean can be more than 0.02
// below the entropy. It may be 0.05 above the entropy, since a small model has not learned everything after 300 steps.
constexpr int64_t file_tokens = 300 * 16 * 17 * 10 / 9 + 1000;
constexpr double below = 0.02;
constexpr double above = 0.05;

TEST_P(KnownEntropy, OfIndependentUniformTokensIsTheLogarithmOfTheirNumber) {
  const auto architecture = own_config(GetParam(), 8);
  const std::vector<std::vector<double>> uniform(8, std::vector<double>(8, 1.0 / 8));
  const TemporaryFolder folder;
  const auto source = support::write_tokens(folder, "t.bin", markov_chain(uniform, file_tokens, 62));
  const Outcome outcome = train(task(source, 300), architecture);
  for (const double loss : {outcome.training, outcome.validation}) {
    EXPECT_GT(loss, std::log(8) - below);
    EXPECT_LT(loss, std::log(8) + above);
  }
}

TEST_P(KnownEntropy, OfACycleIsZero) {
  const auto architecture = own_config(GetParam(), 11);
  const TemporaryFolder folder;
  const auto source = support::write_tokens(folder, "t.bin", at::arange(file_tokens).remainder(11));
  const Outcome outcome = train(task(source, 300), architecture);
  EXPECT_LT(outcome.training, 0.02);
  EXPECT_LT(outcome.validation, 0.02);
  EXPECT_GT(outcome.validation, 0);
}

TEST_P(KnownEntropy, OfAMarkovChainIsItsEntropyRate) {
  const std::vector<std::vector<double>> rows = {{0.70, 0.10, 0.10, 0.05, 0.05},
                                                 {0.02, 0.90, 0.02, 0.03, 0.03},
                                                 {0.25, 0.25, 0.05, 0.40, 0.05},
                                                 {0.05, 0.05, 0.80, 0.05, 0.05},
                                                 {0.30, 0.05, 0.05, 0.05, 0.55}};
  const double entropy = entropy_rate(rows);
  // Well below the entropy of the token frequencies, so that the chain itself has to be learned.
  ASSERT_LT(entropy, 0.85);
  const auto architecture = own_config(GetParam(), 5);
  const TemporaryFolder folder;
  const unsigned seed = 63;
  SCOPED_TRACE("seed " + std::to_string(seed));
  const auto source = support::write_tokens(folder, "t.bin", markov_chain(rows, file_tokens, seed));
  const Outcome outcome = train(task(source, 300), architecture);
  EXPECT_GT(outcome.training, entropy - below);
  EXPECT_LT(outcome.training, entropy + above);
  // The losses of 1024 tokens vary by 0.9 nats, so by 0.03 in the mean; three times that is allowed.
  EXPECT_NEAR(outcome.validation, entropy, 0.09 + above);
}

INSTANTIATE_TEST_SUITE_P(Families, KnownEntropy, testing::ValuesIn(support::all_families()),
                         [](const auto& instance) { return models::to_string(instance.param); });

class Memorisation : public testing::TestWithParam<models::GptConfig> {};

// Two sequences of twelve tokens over four symbols. Each symbol is followed by different ones, so that only the context
// determines the next token. They begin with different tokens, so that nothing is ambiguous. The third row is held out:
// it begins like the first and continues differently.
TEST_P(Memorisation, LearnsTwoSequencesByHeart) {
  const at::Tensor rows = at::tensor({0, 2, 1, 1, 3, 2, 0, 0, 1, 3, 3, 2, 1,  //
                                      1, 0, 3, 2, 2, 1, 0, 1, 2, 0, 3, 1, 1,  //
                                      0, 2, 0, 3, 1, 2, 3, 0, 2, 2, 1, 0, 3},
                                     at::kLong)
                              .view({3, 13});
  const TemporaryFolder folder;
  TrainConfig config = task(support::write_rows(folder, "rows.safetensors", rows), 300);
  config.data.seq_len = 12;
  config.data.batch_size = 2;
  config.validation.sequences = 1;
  Training training =
      training_of(config, models::initialise_model(small_config(GetParam().family, GetParam().placement, 4), 64));
  double loss = 0;
  for (int64_t step = 0; step < config.steps; ++step) {
    loss = training.update().loss;
  }
  EXPECT_LT(loss, 0.05);
  EXPECT_GT(training.validate(), 0.5) << "an unseen sequence cannot be predicted";
}

INSTANTIATE_TEST_SUITE_P(FamiliesAndPlacements, Memorisation, testing::ValuesIn(support::some_tiny_configs()),
                         [](const auto& instance) { return support::instance_name(instance.param); });

}  // namespace
}  // namespace hessian::tests
