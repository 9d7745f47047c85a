// Compares the optimizers with their formulas, written out with plain operators in float64.

#include "train/optimizer.h"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "hessian/dense_operator.h"
#include "hessian/operator_algebra.h"
#include "loader_support.h"
#include "optimizer_formulas.h"
#include "refusal.h"

namespace hessian::tests {
namespace {

using experiments::clip_gradients;
using experiments::Optimizer;
using OptimizerConfig = experiments::TrainConfig::Optimizer;
using support::OptimizerFormulas;
using support::refusal_of;

OptimizerConfig adamw() {
  return {};
}

OptimizerConfig sgd() {
  OptimizerConfig config;
  config.name = "sgd";
  return config;
}

/// Parameters and gradients of several shapes, gains and matrices mixed as in a model.
class Problem {
 public:
  Problem(uint64_t seed, at::ScalarType dtype) : generator_(at::detail::createCPUGenerator(seed)), dtype_(dtype) {
    for (const auto& [name, shape] : shapes()) {
      parameters_.add(name, normal(shape).to(dtype).requires_grad_());
    }
  }

  static std::vector<std::pair<std::string, std::vector<int64_t>>> shapes() {
    return {{"tok_embeddings.weight", {7, 5}},
            {"layers.0.attention_norm.weight", {5}},
            {"layers.0.attention.wq.weight", {5, 5}},
            {"norm.weight", {5}},
            {"output.weight", {33, 129}}};
  }

  const Parameters& parameters() const { return parameters_; }

  /// Returns new gradients whose sizes differ by orders of magnitude, and assigns them to the parameters.
  std::vector<at::Tensor> next_gradients() {
    std::vector<at::Tensor> gradients;
    double size = 1e-3;
    for (const auto& [name, parameter] : parameters_) {
      at::Tensor gradient = (size * normal(parameter.sizes())).to(dtype_);
      parameter.mutable_grad() = gradient.clone();
      gradients.push_back(gradient.to(at::kDouble));
      size *= 10;
    }
    return gradients;
  }

  std::vector<at::Tensor> values() const {
    std::vector<at::Tensor> values;
    for (const auto& [name, parameter] : parameters_) {
      values.push_back(parameter.detach().to(at::kDouble, false, true));
    }
    return values;
  }

 private:
  at::Tensor normal(at::IntArrayRef shape) { return at::randn(shape, generator_, at::dtype(at::kDouble)); }

  at::Generator generator_;
  at::ScalarType dtype_;
  Parameters parameters_;
};

double largest_difference(const at::Tensor& a, const at::Tensor& b) {
  return (a.to(at::kDouble) - b).abs().max().item<double>();
}

double relative_difference(const at::Tensor& actual, const at::Tensor& expected) {
  return largest_difference(actual, expected) / expected.abs().max().item<double>();
}

/// Runs the optimizer and its formulas for `steps` updates with varying learning rates and compares them after each,
/// relative to the largest weight that a tensor has had so far: strong decay with momentum makes weights swing through
/// zero.
void expect_formulas(const OptimizerConfig& config, at::ScalarType dtype, int steps, double tolerance) {
  for (const unsigned seed : {1U, 2U, 3U}) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    std::mt19937 random(seed);
    Problem problem(seed, dtype);
    Optimizer optimizer(config, problem.parameters());
    OptimizerFormulas formulas(config, problem.values());
    std::vector<double> largest(formulas.weights.size(), 0);
    for (int step = 1; step <= steps; ++step) {
      const double lr = 1e-3 * static_cast<double>(1 + random() % 20);
      const auto gradients = problem.next_gradients();
      optimizer.update(lr);
      formulas.update(gradients, lr);
      EXPECT_EQ(optimizer.updates(), step);
      for (std::size_t i = 0; i < gradients.size(); ++i) {
        largest[i] = std::max(largest[i], formulas.weights[i].abs().max().item<double>());
        ASSERT_LT(largest_difference(problem.values()[i], formulas.weights[i]), tolerance * largest[i])
            << Problem::shapes()[i].first << " after step " << step;
      }
    }
  }
}

/// Returns configurations that differ from the defaults in one option each.
std::vector<OptimizerConfig> variations() {
  std::vector<OptimizerConfig> all = {adamw(), sgd()};
  const auto vary = [&all](OptimizerConfig config, const auto& change) {
    change(config);
    all.push_back(config);
  };
  for (const OptimizerConfig& base : {adamw(), sgd()}) {
    vary(base, [](OptimizerConfig& c) { c.decay = "matrices"; });
    vary(base, [](OptimizerConfig& c) { c.weight_decay = 0; });
    vary(base, [](OptimizerConfig& c) { c.weight_decay = 3.0; });
  }
  vary(adamw(), [](OptimizerConfig& c) { c.eps = 0.3; });
  vary(adamw(), [](OptimizerConfig& c) { c.beta1 = 0; });
  vary(adamw(), [](OptimizerConfig& c) { c.beta1 = 0.99, c.beta2 = 0.5; });
  vary(sgd(), [](OptimizerConfig& c) { c.momentum = 0; });
  vary(sgd(), [](OptimizerConfig& c) { c.momentum = 0.99; });
  return all;
}

std::string text_of(const OptimizerConfig& c) {
  return c.name + ", betas " + std::to_string(c.beta1) + " " + std::to_string(c.beta2) + ", eps " +
         std::to_string(c.eps) + ", momentum " + std::to_string(c.momentum) + ", weight decay " +
         std::to_string(c.weight_decay) + " of " + c.decay;
}

/// Returns the names of all tensors.
std::vector<std::string> names_of(const Parameters& tensors) {
  std::vector<std::string> names;
  for (const auto& [name, tensor] : tensors) {
    names.push_back(name);
  }
  return names;
}

// The order of operations differs, so that each step may differ by a few roundings of 1e-16.
TEST(Optimizer, FollowsItsFormulasInFloat64) {
  for (const OptimizerConfig& config : variations()) {
    SCOPED_TRACE(text_of(config));
    expect_formulas(config, at::kDouble, 60, 1e-12);
  }
}

// Weights are rounded once or twice per step by a relative 6e-8: 60 steps stay below 60 * 2 * 6e-8 = 7e-6. With momentum
// a rounding error of the buffer lasts for 1 / (1 - mu) steps, so the largest momentum is left out.
TEST(Optimizer, FollowsItsFormulasInFloat32UpToRounding) {
  for (const OptimizerConfig& config : variations()) {
    if (config.momentum < 0.95) {
      SCOPED_TRACE(text_of(config));
      expect_formulas(config, at::kFloat, 60, 7e-6);
    }
  }
}

// Adam's first update is lr times the sign of the gradient, whatever its size.
TEST(Optimizer, CorrectsTheBiasOfItsFirstUpdate) {
  Problem problem(4, at::kDouble);
  OptimizerConfig config = adamw();
  config.weight_decay = 0;
  config.eps = 0;
  Optimizer optimizer(config, problem.parameters());
  const auto before = problem.values();
  const auto gradients = problem.next_gradients();
  optimizer.update(0.01);
  for (std::size_t i = 0; i < before.size(); ++i) {
    EXPECT_LT((before[i] - 0.01 * gradients[i].sign() - problem.values()[i]).abs().max().item<double>(), 1e-14);
  }
}

TEST(Optimizer, DoesNotDecayVectorsIfOnlyMatricesDecay) {
  for (OptimizerConfig config : {adamw(), sgd()}) {
    config.decay = "matrices";
    config.weight_decay = 0.5;
    Problem problem(5, at::kDouble);
    Optimizer optimizer(config, problem.parameters());
    const auto before = problem.values();
    for (const auto& [name, parameter] : problem.parameters()) {
      parameter.mutable_grad() = at::zeros_like(parameter);
    }
    optimizer.update(0.1);
    for (std::size_t i = 0; i < before.size(); ++i) {
      // With a zero gradient both rules multiply a weight by 1 - lr wd.
      const at::Tensor expected = before[i].dim() == 1 ? before[i] : before[i] * 0.95;
      EXPECT_LT((problem.values()[i] - expected).abs().max().item<double>(), 1e-14) << Problem::shapes()[i].first;
    }
  }
}

TEST(Optimizer, ContinuesFromItsStateBitForBit) {
  for (const OptimizerConfig& config : variations()) {
    for (const at::ScalarType dtype : {at::kFloat, at::kDouble}) {
      for (const int restart : {0, 1, 6}) {
        SCOPED_TRACE(text_of(config) + ", after " + std::to_string(restart));
        Problem straight(6, dtype);
        Problem interrupted(6, dtype);
        Optimizer whole(config, straight.parameters());
        Optimizer before(config, interrupted.parameters());
        const auto clip_factor = [](int step) { return 1 / (3.0 + step); };
        for (int step = 0; step < restart; ++step) {
          straight.next_gradients();
          interrupted.next_gradients();
          whole.update(0.02, clip_factor(step));
          before.update(0.02, clip_factor(step));
        }
        Parameters saved;
        for (const auto& [name, tensor] : before.state()) {
          saved.add(name, tensor.clone());
        }
        Optimizer after(config, interrupted.parameters());
        after.restore(saved, "saved");
        EXPECT_EQ(after.updates(), restart);
        for (int step = 0; step < 5; ++step) {
          straight.next_gradients();
          interrupted.next_gradients();
          whole.update(0.01, clip_factor(restart + step));
          after.update(0.01, clip_factor(restart + step));
        }
        EXPECT_EQ(after.preconditioner().clip_factor, whole.preconditioner().clip_factor);
        for (std::size_t i = 0; i < straight.values().size(); ++i) {
          EXPECT_TRUE(interrupted.values()[i].equal(straight.values()[i])) << Problem::shapes()[i].first;
        }
        for (const auto& [name, tensor] : whole.state()) {
          EXPECT_TRUE(after.state().at(name).equal(tensor)) << name;
        }
      }
    }
  }
}

TEST(Optimizer, KeepsAStateForEveryParameter) {
  const Problem problem(7, at::kFloat);
  const Parameters adam = Optimizer(adamw(), problem.parameters()).state();
  const Parameters plain = Optimizer(sgd(), problem.parameters()).state();
  EXPECT_EQ(adam.size(), 2 + 2 * problem.parameters().size());
  EXPECT_EQ(plain.size(), 1 + problem.parameters().size());
  for (const auto& [name, parameter] : problem.parameters()) {
    EXPECT_EQ(adam.at("exp_avg." + name).sizes(), parameter.sizes());
    EXPECT_EQ(adam.at("exp_avg_sq." + name).sizes(), parameter.sizes());
    EXPECT_EQ(plain.at("momentum_buffer." + name).sizes(), parameter.sizes());
  }
}

TEST(Optimizer, RefusesTheStateOfAnotherRunWithoutChangingItsOwn) {
  Problem problem(8, at::kFloat);
  Optimizer optimizer(adamw(), problem.parameters());
  problem.next_gradients();
  optimizer.update(0.01);
  Parameters own;
  for (const auto& [name, tensor] : optimizer.state()) {
    own.add(name, tensor.clone());
  }
  const auto refusal = [&optimizer](const Parameters& state) {
    return refusal_of([&] { optimizer.restore(state, "run/c.safetensors"); });
  };
  const std::string one = "exp_avg.layers.0.attention.wq.weight";
  const auto changed = [&own, &one](const at::Tensor& replacement) {
    Parameters state;
    for (const auto& [name, tensor] : own) {
      if (name != one || replacement.defined()) {
        state.add(name, name == one ? replacement : 2 * tensor);
      }
    }
    return state;
  };
  for (const auto& state : {changed({}), changed(at::zeros({5, 4}))}) {
    const std::string message = refusal(state);
    EXPECT_TRUE(message.starts_with("run/c.safetensors: ")) << message;
  }
  EXPECT_NE(refusal(changed(at::zeros({5, 4}))).find("'" + one + "'"), std::string::npos);
  Parameters more = own;
  more.add("exp_avg.layers.1.attention.wq.weight", at::zeros({5, 5}));
  EXPECT_TRUE(refusal(more).starts_with("run/c.safetensors: "));
  EXPECT_TRUE(refusal(Optimizer(sgd(), problem.parameters()).state()).starts_with("run/c.safetensors: "));
  EXPECT_TRUE(refusal({}).starts_with("run/c.safetensors: "));
  for (const auto& factors : {at::Tensor(), at::zeros({2}, at::kDouble)}) {  // there is one after one update
    Parameters state;
    for (const auto& [name, tensor] : own) {
      if (name != "clip_factors" || factors.defined()) {
        state.add(name, name == "clip_factors" ? factors : tensor);
      }
    }
    EXPECT_NE(refusal(state).find("'clip_factors'"), std::string::npos);
  }
  EXPECT_EQ(names_of(optimizer.state()), names_of(own));
  for (const auto& [name, tensor] : own) {
    EXPECT_TRUE(optimizer.state().at(name).equal(tensor)) << name;
  }
}

TEST(Optimizer, RefusesToUpdateWithoutAGradient) {
  Problem problem(9, at::kFloat);
  Optimizer optimizer(adamw(), problem.parameters());
  EXPECT_THROW(optimizer.update(0.1), std::logic_error);
  problem.next_gradients();
  problem.parameters().at("norm.weight").mutable_grad() = at::Tensor();
  EXPECT_THROW(optimizer.update(0.1), std::logic_error);
}

TEST(Preconditioner, FollowsItsFormulaForEveryParameter) {
  for (const std::string decay : {"all", "matrices"}) {
    OptimizerConfig config = adamw();
    config.decay = decay;
    config.eps = 1e-3;
    Problem problem(10, at::kDouble);
    Optimizer optimizer(config, problem.parameters());
    OptimizerFormulas formulas(config, problem.values());
    for (int step = 1; step <= 12; ++step) {
      formulas.update(problem.next_gradients(), 0.01);
      optimizer.update(0.01);
      const Parameters diagonals = optimizer.preconditioner().diagonals;
      ASSERT_EQ(names_of(diagonals), names_of(problem.parameters()));
      std::size_t i = 0;
      for (const auto& [name, diagonal] : diagonals) {
        const at::Tensor v = formulas.second[i++] / (1 - std::pow(0.95, step));
        const at::Tensor expected = (1 - std::pow(0.9, step)) * (v.sqrt() + 1e-3);
        ASSERT_EQ(diagonal.sizes(), expected.sizes()) << name;
        EXPECT_LT(relative_difference(diagonal, expected), 1e-12) << name;
      }
    }
  }
}

// Without decay, an update is -lr P^-1 m.
TEST(Preconditioner, TurnsTheFirstMomentIntoTheUpdate) {
  OptimizerConfig config = adamw();
  config.weight_decay = 0;
  Problem problem(11, at::kDouble);
  Optimizer optimizer(config, problem.parameters());
  for (int step = 0; step < 7; ++step) {
    const auto before = problem.values();
    problem.next_gradients();
    optimizer.update(0.02);
    const Parameters diagonals = optimizer.preconditioner().diagonals;
    for (std::size_t i = 0; i < before.size(); ++i) {
      const at::Tensor& diagonal = diagonals.at(Problem::shapes()[i].first);
      const at::Tensor m = optimizer.state().at("exp_avg." + Problem::shapes()[i].first);
      // Subtracting weights of order 1 leaves an error of 1e-16 in an update of order 0.02.
      EXPECT_LT(relative_difference(problem.values()[i] - before[i], -0.02 * m / diagonal), 1e-12);
    }
  }
}

TEST(Preconditioner, IsAbsentForSgdAndBeforeTheFirstUpdate) {
  Problem problem(12, at::kFloat);
  EXPECT_EQ(Optimizer(adamw(), problem.parameters()).preconditioner().diagonals.size(), 0U);
  Optimizer plain(sgd(), problem.parameters());
  problem.next_gradients();
  plain.update(0.1);
  EXPECT_EQ(plain.preconditioner().diagonals.size(), 0U);
}

TEST(Preconditioner, HasTheMeanClipFactorOfTheUpdatesThatTheSecondMomentRemembers) {
  Problem problem(13, at::kFloat);
  OptimizerConfig config = adamw();
  config.beta2 = 0.75;  // remembers four updates
  Optimizer optimizer(config, problem.parameters());
  double factor = 1;
  for (const double mean : {1.0, 1.5 / 2, 1.75 / 3, 1.875 / 4, 0.9375 / 4, 0.46875 / 4}) {
    problem.next_gradients();
    optimizer.update(0.1, factor);
    EXPECT_EQ(optimizer.preconditioner().clip_factor, mean);
    factor /= 2;
  }
  // 1 / (1 - 0.95) = 20 updates, of which one was clipped.
  Optimizer longer(adamw(), problem.parameters());
  longer.update(0.1, 0.5);
  for (int step = 2; step <= 20; ++step) {
    longer.update(0.1);
    EXPECT_NEAR(longer.preconditioner().clip_factor, 1 - 0.5 / step, 1e-14);
  }
  longer.update(0.1);
  EXPECT_EQ(longer.preconditioner().clip_factor, 1);
}

TEST(Preconditioner, IsInfiniteWhereNoGradientHasArrived) {
  Problem problem(14, at::kDouble);
  Optimizer optimizer(adamw(), problem.parameters());
  const at::Tensor& embedding = problem.parameters().at("tok_embeddings.weight");  // [7, 5]
  const auto update_without_rows = [&](int64_t first, int64_t count) {
    problem.next_gradients();
    embedding.grad().narrow(0, first, count).zero_();
    optimizer.update(0.01);
  };
  const auto rows_left_out = [&] {
    const Parameters diagonals = optimizer.preconditioner().diagonals;
    EXPECT_TRUE(diagonals.at("output.weight").isfinite().all().item<bool>());
    const at::Tensor infinite = diagonals.at("tok_embeddings.weight").isinf();
    EXPECT_TRUE(infinite.all(1).equal(infinite.any(1))) << "whole rows";
    return infinite.any(1).sum().item<int64_t>();
  };
  update_without_rows(2, 4);
  update_without_rows(2, 5);
  EXPECT_EQ(rows_left_out(), 4);  // rows 2 to 5; row 6 had a gradient in the first update
  update_without_rows(3, 2);
  EXPECT_EQ(rows_left_out(), 2);
}

// H = [2 1 0; 1 3 0; 0 0 100], P = (4, 1, infinity), c = 1/2: the matrix is [1/4 1/4; 1/4 3/2], with the eigenvalues
// 7/8 +- sqrt(29)/8.
TEST(Preconditioner, MakesTheMatrixOfTheMovedCoordinates) {
  Parameters parameters;
  parameters.add("a", at::zeros({1, 1}, at::kDouble));
  parameters.add("b", at::zeros({2}, at::kDouble));
  experiments::Preconditioner preconditioner;
  preconditioner.diagonals.add("b", at::tensor({1.0, static_cast<double>(INFINITY)}, at::kDouble));
  preconditioner.diagonals.add("a", at::full({1, 1}, 4.0, at::kDouble));
  preconditioner.clip_factor = 0.5;
  const experiments::MovedCoordinates moved = moved_coordinates(preconditioner, parameters);
  EXPECT_TRUE(moved.indices.equal(at::tensor({0, 1}, at::kLong)));
  EXPECT_EQ(moved.left_out, 1);
  const at::Tensor hessian = at::tensor({2.0, 1.0, 0.0, 1.0, 3.0, 0.0, 0.0, 0.0, 100.0}, at::kDouble).view({1, 3, 3});
  const OperatorPtr op = preconditioned(std::make_shared<DenseOperator>(hessian), moved);
  EXPECT_EQ(op->dim(), 2);
  const at::Tensor eigenvalues = at::linalg_eigvalsh(to_dense(*op))[0];
  EXPECT_NEAR(eigenvalues[0].item<double>(), (7 - std::sqrt(29)) / 8, 1e-14);
  EXPECT_NEAR(eigenvalues[1].item<double>(), (7 + std::sqrt(29)) / 8, 1e-14);
}

// A second moment that is not a number must not look like one that is zero.
TEST(Preconditioner, DoesNotLeaveOutCoordinatesThatAreNotNumbers) {
  Parameters parameters;
  parameters.add("a", at::zeros({3}, at::kDouble));
  experiments::Preconditioner preconditioner;
  preconditioner.diagonals.add("a", at::tensor({NAN, 1.0F, INFINITY}, at::kDouble));
  EXPECT_TRUE(moved_coordinates(preconditioner, parameters).indices.equal(at::tensor({0, 1}, at::kLong)));
}

double plain_norm(const std::vector<at::Tensor>& tensors) {
  double sum = 0;
  for (const at::Tensor& tensor : tensors) {
    sum += tensor.to(at::kDouble).square().sum().item<double>();
  }
  return std::sqrt(sum);
}

TEST(Clipping, ScalesAllGradientsByOneFactorDownToTheLimit) {
  for (const unsigned seed : {21U, 22U, 23U}) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    Problem problem(seed, at::kDouble);
    const auto original = problem.next_gradients();
    const double norm = plain_norm(original);
    for (const double limit : {1e-3 * norm, 0.5 * norm, 0.999 * norm}) {
      std::vector<at::Tensor> gradients;
      for (const at::Tensor& gradient : original) {
        gradients.push_back(gradient.clone());
      }
      EXPECT_NEAR(clip_gradients(gradients, limit), norm, 1e-13 * norm);
      for (std::size_t i = 0; i < gradients.size(); ++i) {
        EXPECT_LT(relative_difference(gradients[i], original[i] * (limit / (norm + 1e-6))), 1e-14);
      }
      // It falls short of the limit only because of the 1e-6 that is added to the norm.
      EXPECT_NEAR(plain_norm(gradients), limit, 1.1e-6 * limit / norm);
    }
  }
}

TEST(Clipping, HasAFactorOfLimitOverNorm) {
  EXPECT_NEAR(experiments::clip_factor(4, 1), 1 / (4 + 1e-6), 1e-15);
  EXPECT_NEAR(experiments::clip_factor(4, 3), 3 / (4 + 1e-6), 1e-15);
  EXPECT_EQ(experiments::clip_factor(4, 5), 1);
  EXPECT_EQ(experiments::clip_factor(4, 0), 1);
}

TEST(Clipping, DoesNotChangeGradientsWithinTheLimit) {
  Problem problem(24, at::kFloat);
  const auto original = problem.next_gradients();
  const double norm = plain_norm(original);
  for (const double limit : {1.001 * norm, 1e30, 0.0}) {
    std::vector<at::Tensor> gradients;
    for (const auto& [name, parameter] : problem.parameters()) {
      gradients.push_back(parameter.grad());
    }
    EXPECT_NEAR(clip_gradients(gradients, limit), norm, 1e-6 * norm) << limit;
    for (std::size_t i = 0; i < gradients.size(); ++i) {
      EXPECT_TRUE(gradients[i].to(at::kDouble).equal(original[i])) << "limit " << limit;
    }
  }
}

TEST(Clipping, ReportsANormThatIsNotFinite) {
  for (const float bad : {INFINITY, -INFINITY, NAN}) {
    for (const double limit : {1.0, 0.0}) {
      const std::vector<at::Tensor> gradients = {at::ones({3}), at::tensor({1.0F, bad})};
      EXPECT_FALSE(std::isfinite(clip_gradients(gradients, limit)));
    }
  }
  EXPECT_EQ(clip_gradients({at::zeros({4})}, 1.0), 0.0);
}

}  // namespace
}  // namespace hessian::tests
