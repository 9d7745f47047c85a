// Compares training with the same recipe written out with plain operators: doubly differentiable kernels,
// torch::autograd::grad, and the formulas of AdamW, SGD, clipping and the schedule.

#include "train/training.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <ostream>
#include <string>
#include <vector>

#include "fixtures.h"
#include "hessian/models/forward.h"
#include "optimizer_formulas.h"
#include "refusal.h"
#include "tiny_models.h"
#include "training_support.h"

namespace hessian::tests {
namespace {

using experiments::TrainConfig;
using experiments::Training;
using experiments::UpdateRecord;
using support::open_data;
using support::OptimizerFormulas;
using support::refusal_of;
using support::TemporaryFolder;
using support::training_of;

constexpr int64_t steps = 10;

/// Returns the configuration of ten steps in float64, three of them warm-up.
TrainConfig short_run(const std::string& source) {
  TrainConfig config;
  config.steps = steps;
  config.dtype = "float64";
  config.data.source = source;
  config.data.seq_len = 8;
  config.data.batch_size = 2;
  config.optimizer.lr = 1e-2;
  // Some gradients, such as that of a key's bias, are 0 up to rounding; Adam divides the rounding error by eps.
  config.optimizer.eps = 1e-6;
  config.schedule.warmup = 3;
  config.validation.sequences = 8;
  return config;
}

/// Writes 2000 random tokens of a model's vocabulary and returns the path.
std::string random_source(const TemporaryFolder& folder, const models::GptConfig& config) {
  return support::write_tokens(folder, "tokens.bin", support::random_tokens(config, 1, 2000, 51).squeeze(0));
}

/// Trains by the same recipe without the code under test.
class PlainTraining {
 public:
  PlainTraining(TrainConfig config, const models::Model& model)
      : config_(std::move(config)),
        data_(open_data(config_, model.config.vocab_size)),
        model_{model.config, {}},
        formulas_(config_.optimizer, in_float64(model.parameters)) {
    for (const auto& [name, tensor] : model.parameters) {
      weights_.push_back(formulas_.weights[weights_.size()].clone().requires_grad_());
      model_.parameters.add(name, weights_.back());
    }
  }

  const std::vector<at::Tensor>& weights() const { return weights_; }
  bool clipped() const { return clipped_; }

  UpdateRecord update() {
    UpdateRecord record;
    std::vector<at::Tensor> gradients = mean_gradient(record.loss);
    const c10::NoGradGuard no_grad;
    double square = 0;
    for (const at::Tensor& gradient : gradients) {
      square += (gradient * gradient).sum().item<double>();
    }
    record.grad_norm = std::sqrt(square);
    const double factor = config_.optimizer.clip / (record.grad_norm + 1e-6);
    if (config_.optimizer.clip > 0 && factor < 1) {
      clipped_ = true;
      for (at::Tensor& gradient : gradients) {
        gradient = gradient * factor;
      }
    }
    const auto s = static_cast<double>(step_);
    const auto warmup = static_cast<double>(config_.schedule.warmup);
    record.lr = config_.optimizer.lr *
                (s < warmup ? (s + 1) / (warmup + 1) : 1 - (s - warmup) / (static_cast<double>(steps) - warmup));
    ++step_;
    formulas_.update(gradients, record.lr);
    for (std::size_t i = 0; i < weights_.size(); ++i) {
      weights_[i].copy_(formulas_.weights[i]);
    }
    return record;
  }

 private:
  static std::vector<at::Tensor> in_float64(const Parameters& parameters) {
    std::vector<at::Tensor> values;
    for (const auto& [name, tensor] : parameters) {
      values.push_back(tensor.detach().to(at::kDouble));
    }
    return values;
  }

  std::vector<at::Tensor> mean_gradient(double& loss) {
    const models::Forward forward(model_, Numerics::wide, Derivatives::any);
    std::vector<at::Tensor> sum;
    for (int64_t pass = 0; pass < config_.data.accumulation; ++pass) {
      const auto batch = data_.batch(seen_, config_.data.batch_size);
      seen_ += config_.data.batch_size;
      const at::Tensor value = forward.losses(0, forward.embed(batch.tokens), batch.targets).mean();
      const auto gradients = torch::autograd::grad({value}, weights_);
      const auto share = 1.0 / static_cast<double>(config_.data.accumulation);
      loss += share * value.item<double>();
      for (std::size_t i = 0; i < gradients.size(); ++i) {
        if (pass == 0) {
          sum.push_back(share * gradients[i]);
        } else {
          sum[i] = sum[i] + share * gradients[i];
        }
      }
    }
    return sum;
  }

  TrainConfig config_;
  models::TrainingData data_;
  models::Model model_;
  OptimizerFormulas formulas_;
  std::vector<at::Tensor> weights_;
  int64_t seen_ = 0;
  int step_ = 0;
  bool clipped_ = false;
};

void expect_close(double actual, double expected, double tolerance, const char* what) {
  EXPECT_NEAR(actual, expected, tolerance * std::abs(expected)) << what;
}

/// Compares the training under test with PlainTraining step by step. The kernels order their sums differently, by a
/// relative 1e-15 per step, which accumulates in the weights and which Adam amplifies for small gradients. 1e-10 allows
/// for that, but not for a wrong term.
void expect_same_run(const TrainConfig& config, const models::Model& model, bool expect_clipping) {
  constexpr double tolerance = 1e-10;
  Training training = training_of(config, model);
  PlainTraining plain(config, model);
  for (int64_t step = 1; step <= steps; ++step) {
    SCOPED_TRACE("step " + std::to_string(step));
    const UpdateRecord expected = plain.update();
    const UpdateRecord actual = training.update();
    EXPECT_EQ(training.step(), step);
    expect_close(actual.loss, expected.loss, tolerance, "loss");
    expect_close(actual.grad_norm, expected.grad_norm, tolerance, "gradient norm");
    expect_close(actual.lr, expected.lr, 1e-14, "learning rate");
    std::size_t i = 0;
    for (const auto& [name, parameter] : training.forward().parameters()) {
      const at::Tensor& weight = plain.weights().at(i++);
      // Relative to the largest weight of a tensor, or to the learning rate if all are smaller.
      const double scale = std::max(weight.abs().max().item<double>(), config.optimizer.lr);
      ASSERT_LT((parameter - weight).abs().max().item<double>(), tolerance * scale) << name;
    }
  }
  EXPECT_EQ(plain.clipped(), expect_clipping);
}

/// A change of short_run()'s recipe.
struct Variation {
  std::string name;
  bool clips;
  void (*apply)(TrainConfig&);
};

void PrintTo(const Variation& variation, std::ostream* out) {
  *out << variation.name;
}

const std::vector<Variation>& variations() {
  static const std::vector<Variation> all = {
      {"AdamW", true, [](TrainConfig& c) { c.optimizer.clip = 0.3; }},
      {"AdamWOfThreePasses", true,
       [](TrainConfig& c) {
         c.data.accumulation = 3;
         c.optimizer.clip = 0.3;
         c.optimizer.decay = "matrices";
       }},
      {"SgdOfThreePassesWithoutClipping", false,
       [](TrainConfig& c) {
         c.optimizer.name = "sgd";
         c.optimizer.lr = 2e-3;  // stable for every model: an unstable run multiplies rounding errors
         c.optimizer.clip = 0;
         c.data.accumulation = 3;
       }},
      {"Sgd", true,
       [](TrainConfig& c) {
         c.optimizer.name = "sgd";
         c.optimizer.decay = "matrices";
         c.optimizer.lr = 0.1;
         c.optimizer.clip = 0.3;
       }},
  };
  return all;
}

class Recipe : public testing::TestWithParam<Variation> {
 protected:
  void expect_same(const models::Model& model, const std::string& name) {
    SCOPED_TRACE(name);
    const TemporaryFolder folder;
    TrainConfig config = short_run(random_source(folder, model.config));
    GetParam().apply(config);
    expect_same_run(config, model, GetParam().clips);
  }
};

TEST_P(Recipe, TrainsEveryFixtureAsPlainOperatorsDo) {
  for (const support::Fixture& fixture : support::all_fixtures()) {
    expect_same(support::load_fixture_model(fixture, at::kDouble), fixture.model);
  }
}

TEST_P(Recipe, TrainsEveryFamilyAndPlacementAsPlainOperatorsDo) {
  for (const models::GptConfig& config : support::some_tiny_configs()) {
    expect_same(models::initialise_model(config, 52), support::name_of(config));
  }
}

INSTANTIATE_TEST_SUITE_P(Training, Recipe, testing::ValuesIn(variations()),
                         [](const auto& instance) { return instance.param.name; });

models::Model tiny_model(models::Family family = models::Family::llama2,
                         models::Placement placement = models::Placement::prenorm) {
  return models::initialise_model(support::tiny_config(family, placement), 53);
}

/// Computes the mean loss of the held-out sequences with the doubly differentiable kernels.
double held_out_loss(const TrainConfig& config, const models::Model& model) {
  const c10::NoGradGuard no_grad;
  const auto batch =
      open_data(config, model.config.vocab_size).held_out(config.validation.sequences, experiments::held_out_seed);
  const models::Forward forward(model, Numerics::wide, Derivatives::any);
  return forward.losses(0, forward.embed(batch.tokens), batch.targets).mean().item<double>();
}

TEST(Training, ValidatesByTheMeanLossOfTheHeldOutSequencesForAnyBatchSize) {
  for (const models::GptConfig& tiny : support::all_tiny_configs()) {
    const models::Model model = tiny_model(tiny.family, tiny.placement);
    SCOPED_TRACE(support::name_of(model.config));
    const TemporaryFolder folder;
    TrainConfig config = short_run(random_source(folder, model.config));
    const models::Model wide{model.config, model.parameters.to(at::kCPU, at::kDouble)};
    const double expected = held_out_loss(config, wide);
    for (const int64_t batch_size : {1, 3, 8, 100}) {
      config.data.batch_size = batch_size;
      // Sums of up to a few hundred numbers in another order.
      EXPECT_NEAR(training_of(config, model).validate(), expected, 1e-13 * expected);
    }
  }
}

TEST(Training, IsNotAffectedByValidation) {
  const models::Model model = tiny_model();
  const TemporaryFolder folder;
  const TrainConfig config = short_run(random_source(folder, model.config));
  Training watched = training_of(config, model);
  Training left_alone = training_of(config, model);
  for (int64_t step = 0; step < steps; ++step) {
    const double before = watched.validate();
    EXPECT_EQ(watched.validate(), before);
    EXPECT_EQ(watched.update().loss, left_alone.update().loss);
    EXPECT_NE(watched.validate(), before);
  }
  for (const auto& [name, parameter] : watched.forward().parameters()) {
    EXPECT_TRUE(parameter.equal(left_alone.forward().parameters().at(name))) << name;
  }
}

TEST(Training, DoesNotChangeTheModelThatItStartsFrom) {
  const models::Model model = tiny_model();
  const TemporaryFolder folder;
  for (const std::string dtype : {"float32", "float64"}) {
    TrainConfig config = short_run(random_source(folder, model.config));
    config.dtype = dtype;
    Training training = training_of(config, model);
    training.update();
    for (const auto& [name, tensor] : tiny_model().parameters) {
      EXPECT_TRUE(model.parameters.at(name).equal(tensor)) << name;
      EXPECT_FALSE(training.forward().parameters().at(name).to(at::kFloat).equal(tensor)) << name << " did not move";
    }
  }
}

TEST(Training, CountsTokensAndSequences) {
  const models::Model model = tiny_model();
  const TemporaryFolder folder;
  TrainConfig config = short_run(random_source(folder, model.config));
  config.data.batch_size = 5;
  config.data.accumulation = 3;
  Training training = training_of(config, model);
  EXPECT_EQ(training.tokens_per_update(), 8 * 5 * 3);
  training.update();
  training.update();
  const auto state = training.checkpoint("a = 1\n").state;
  EXPECT_EQ(state.step, 2);
  EXPECT_EQ(state.sequences_seen, 2 * 5 * 3);
  EXPECT_EQ(state.config, "a = 1\n");
}

// Three passes of two sequences equal one pass of six up to the order of summation.
TEST(Training, AccumulatesSmallBatchesIntoALargeOne) {
  const models::Model model = tiny_model();
  const TemporaryFolder folder;
  TrainConfig config = short_run(random_source(folder, model.config));
  config.data.batch_size = 6;
  Training large = training_of(config, model);
  config.data.batch_size = 2;
  config.data.accumulation = 3;
  Training small = training_of(config, model);
  for (int64_t step = 0; step < steps; ++step) {
    const UpdateRecord a = small.update();
    const UpdateRecord b = large.update();
    EXPECT_NEAR(a.loss, b.loss, 1e-10 * b.loss);
    EXPECT_NEAR(a.grad_norm, b.grad_norm, 1e-10 * b.grad_norm);
  }
}

// bfloat16 keeps 8 bits, so that an operand of a product is off by at most 2^-9. After a few products in a row, logits of
// order 1 are off by some 1e-2; less of that reaches the mean loss. Gradients pass through twice as many products.
TEST(Training, RoundsProductsInBfloat16AndKeepsWeightsInFloat32) {
  for (const models::GptConfig& tiny : support::all_tiny_configs()) {
    const models::Model model = tiny_model(tiny.family, tiny.placement);
    SCOPED_TRACE(support::name_of(model.config));
    const TemporaryFolder folder;
    TrainConfig config = short_run(random_source(folder, model.config));
    config.dtype = "float32";
    Training single = training_of(config, model);
    config.dtype = "bfloat16";
    Training half = training_of(config, model);
    const double validation = single.validate();
    EXPECT_NEAR(half.validate(), validation, 0.01 * validation);
    EXPECT_NE(half.validate(), validation) << "nothing was rounded";
    const UpdateRecord expected = single.update();
    const UpdateRecord actual = half.update();
    EXPECT_NEAR(actual.loss, expected.loss, 0.01 * expected.loss);
    // Gradients of the SimpleNorm models, whose norms of a few entries divide by small numbers, are off by up to 5 %.
    EXPECT_NEAR(actual.grad_norm, expected.grad_norm, 0.08 * expected.grad_norm);
    bool finer_than_bfloat16 = false;
    for (const auto& [name, parameter] : half.forward().parameters()) {
      EXPECT_EQ(parameter.scalar_type(), at::kFloat) << name;
      finer_than_bfloat16 = finer_than_bfloat16 || !parameter.to(at::kBFloat16).to(at::kFloat).equal(parameter);
    }
    EXPECT_TRUE(finer_than_bfloat16);
    for (const auto& [name, tensor] : half.optimizer().state()) {
      EXPECT_TRUE(name == "updates" || name == "clip_factors" || tensor.scalar_type() == at::kFloat) << name;
    }
  }
  // Autocast is off again afterwards.
  const at::Tensor a = at::full({2, 2}, 1.0F + 1.0F / 1024);
  EXPECT_EQ(a.matmul(at::eye(2)).scalar_type(), at::kFloat);
}

// The rounded weights of an earlier step must not be reused.
TEST(Training, UsesItsNewWeightsInTheNextBfloat16Step) {
  const models::Model model = tiny_model();
  const TemporaryFolder folder;
  TrainConfig config = short_run(random_source(folder, model.config));
  config.optimizer.lr = 0.05;
  config.dtype = "float32";
  Training single = training_of(config, model);
  config.dtype = "bfloat16";
  Training half = training_of(config, model);
  for (int64_t step = 0; step < steps; ++step) {
    const double expected = single.update().loss;
    EXPECT_NEAR(half.update().loss, expected, 0.02 * expected);
    const double validation = single.validate();
    EXPECT_NEAR(half.validate(), validation, 0.02 * validation);
  }
}

TEST(Training, RemembersByHowMuchGradientsWereClipped) {
  const models::Model model = tiny_model();
  const TemporaryFolder folder;
  TrainConfig config = short_run(random_source(folder, model.config));
  config.optimizer.beta2 = 0.8;  // remembers five updates
  const double first_norm = training_of(config, model).update().grad_norm;
  for (const double limit : {0.0, 0.3 * first_norm, 1e3 * first_norm}) {
    config.optimizer.clip = limit;
    Training training = training_of(config, model);
    std::vector<double> factors;
    for (int64_t step = 0; step < steps; ++step) {
      const double norm = training.update().grad_norm;
      factors.push_back(limit > 0 ? std::min(1.0, limit / (norm + 1e-6)) : 1);
      const auto last = static_cast<std::ptrdiff_t>(std::min<std::size_t>(5, factors.size()));
      const double mean = std::accumulate(factors.end() - last, factors.end(), 0.0) / static_cast<double>(last);
      EXPECT_NEAR(training.optimizer().preconditioner().clip_factor, mean, 1e-14) << "limit " << limit;
    }
    EXPECT_EQ(factors.front() < 1, limit == 0.3 * first_norm);
  }
}

/// Saves to a file and loads it, so that only what the file contains survives.
models::TrainingCheckpoint saved_and_loaded(const Training& training, const TemporaryFolder& folder) {
  models::save_training_checkpoint(training.checkpoint(""), folder / "c.safetensors");
  return models::load_training_checkpoint(folder / "c.safetensors");
}

const std::vector<std::string> all_dtypes = {"float32", "float64", "bfloat16"};

TEST(Training, ContinuesFromACheckpointBitForBit) {
  for (const support::Fixture& fixture : support::all_fixtures()) {
    for (const std::string optimizer : {"adamw", "sgd"}) {
      for (const std::string& dtype : optimizer == "sgd" ? std::vector<std::string>{"float32"} : all_dtypes) {
        SCOPED_TRACE(fixture.model + " " + dtype + " " + optimizer);
        const models::Model model = support::load_fixture_model(fixture, at::kDouble);
        const TemporaryFolder folder;
        TrainConfig config = short_run(random_source(folder, model.config));
        config.dtype = dtype;
        config.optimizer.name = optimizer;
        config.data.accumulation = 2;
        Training straight = training_of(config, model);
        Training before = training_of(config, model);
        for (int64_t step = 0; step < 4; ++step) {
          straight.update();
          before.update();
        }
        const auto checkpoint = saved_and_loaded(before, folder);
        Training after = training_of(config, checkpoint.model);
        after.restore(checkpoint, "c.safetensors");
        EXPECT_EQ(after.step(), 4);
        for (int64_t step = 4; step < 8; ++step) {
          const UpdateRecord expected = straight.update();
          const UpdateRecord actual = after.update();
          EXPECT_EQ(actual.loss, expected.loss) << "step " << step;
          EXPECT_EQ(actual.grad_norm, expected.grad_norm) << "step " << step;
          EXPECT_EQ(actual.lr, expected.lr);
        }
        EXPECT_EQ(after.validate(), straight.validate());
        EXPECT_EQ(after.optimizer().preconditioner().clip_factor, straight.optimizer().preconditioner().clip_factor);
        for (const auto& [name, parameter] : straight.forward().parameters()) {
          EXPECT_TRUE(after.forward().parameters().at(name).equal(parameter)) << name;
        }
      }
    }
  }
}

TEST(Training, RefusesTheCheckpointOfAnotherModelPrecisionOrOptimizer) {
  const models::Model model = tiny_model();
  const TemporaryFolder folder;
  const TrainConfig config = short_run(random_source(folder, model.config));
  Training training = training_of(config, model);
  const auto refusal = [&training](const Training& other) {
    return refusal_of([&] { training.restore(other.checkpoint(""), "other.safetensors"); });
  };
  const models::Model wider = tiny_model(models::Family::llama2, models::Placement::sandwich);
  TrainConfig single = config;
  single.dtype = "float32";
  TrainConfig sgd = config;
  sgd.optimizer.name = "sgd";
  for (const std::string& message :
       {refusal(training_of(config, wider)), refusal(training_of(single, model)), refusal(training_of(sgd, model))}) {
    EXPECT_TRUE(message.starts_with("other.safetensors: ")) << "'" << message << "'";
  }
  EXPECT_NO_THROW(training.restore(training_of(config, model).checkpoint(""), "other.safetensors"));
}

}  // namespace
}  // namespace hessian::tests
