// Compares both kinds of sharpness with the dense Hessian of all parameters, built row by row with double backward.

#include "train/sharpness.h"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "hessian/models/token_data.h"
#include "minute_models.h"
#include "tiny_models.h"

namespace hessian::tests {
namespace {

using experiments::measure_sharpness;
using experiments::Preconditioner;
using experiments::Sharpness;
using experiments::SharpnessOptions;
using support::minute_config;
using support::random_model;

models::TokenBatch random_batch(const models::GptConfig& config, uint64_t seed) {
  return {support::random_tokens(config, 3, 6, seed), support::random_tokens(config, 3, 6, seed + 1), {}};
}

double largest_eigenvalue(const at::Tensor& symmetric) {
  return at::linalg_eigvalsh((symmetric + symmetric.t()) / 2).max().item<double>();
}

// An eigenvalue is within its residual norm of the true one, and in practice far closer.
constexpr SharpnessOptions tight{1e-6, 20000, 5};

class SharpnessOf : public testing::TestWithParam<models::GptConfig> {
 protected:
  models::GptConfig config_ = minute_config(GetParam().family, GetParam().placement);
  models::Model model_ = random_model(config_, 41);
  models::TokenBatch batch_ = random_batch(config_, 42);
  at::Tensor hessian_ = support::dense_hessian(model_, batch_.tokens, batch_.targets);
};

TEST_P(SharpnessOf, IsTheLargestEigenvalueOfTheDenseHessian) {
  const double expected = largest_eigenvalue(hessian_);
  const Sharpness sharpness = measure_sharpness(model_, batch_, {}, tight);
  EXPECT_EQ(sharpness.converged, 1);
  EXPECT_NEAR(sharpness.lambda_max, expected, 1e-6 * std::abs(expected));
  const double norm = at::linalg_eigvalsh(hessian_).abs().max().item<double>();
  EXPECT_LE(sharpness.residual_norm, 1e-6 * norm * (1 + 1e-6));
  EXPECT_GT(sharpness.iterations, 1);
}

TEST_P(SharpnessOf, WithAPreconditionerIsThatOfTheHessianInItsGeometry) {
  auto generator = at::detail::createCPUGenerator(43);
  const auto uniform = [&generator](at::IntArrayRef shape) {
    return at::rand(shape, generator, at::dtype(at::kDouble));
  };
  Preconditioner preconditioner;
  preconditioner.clip_factor = 0.25;
  std::vector<at::Tensor> flat;
  for (const auto& [name, tensor] : model_.parameters) {
    // From 0.1 to 10, uniform in the logarithm; a tenth has not moved.
    at::Tensor diagonal = at::pow(10.0, 2 * uniform(tensor.sizes()) - 1);
    diagonal.masked_fill_(uniform(tensor.sizes()) < 0.1, INFINITY);
    flat.push_back(diagonal.flatten());
    preconditioner.diagonals.add(name, diagonal);
  }
  const at::Tensor scale = 0.5 * at::cat(flat).pow(-0.5);  // 0 where nothing has moved
  const double expected = largest_eigenvalue(scale.unsqueeze(1) * hessian_ * scale.unsqueeze(0));
  ASSERT_GT(expected, 0) << "so that it is the largest eigenvalue of the other coordinates";
  for (const int64_t sequences_at_once : {0, 1, 2}) {  // of three
    SharpnessOptions options = tight;
    options.sequences_at_once = sequences_at_once;
    const Sharpness sharpness = measure_sharpness(model_, batch_, preconditioner, options);
    EXPECT_EQ(sharpness.converged, 1);
    EXPECT_NEAR(sharpness.lambda_max, expected, 1e-6 * std::abs(expected));
    EXPECT_EQ(sharpness.clip_factor, 0.25);
    EXPECT_EQ(sharpness.left_out, (scale == 0).sum().item<int64_t>());
  }
}

INSTANTIATE_TEST_SUITE_P(FamiliesAndPlacements, SharpnessOf, testing::ValuesIn(support::some_tiny_configs()),
                         [](const auto& instance) { return support::instance_name(instance.param); });

TEST(SharpnessLimits, ReportsThatItHasNotConverged) {
  const auto config = minute_config(models::Family::llama2, models::Placement::prenorm);
  const Sharpness sharpness =
      measure_sharpness(random_model(config, 1), random_batch(config, 2), {}, SharpnessOptions{1e-12, 2, 0});
  EXPECT_EQ(sharpness.converged, 0);
  EXPECT_LE(sharpness.iterations, 2);
  EXPECT_GT(sharpness.residual_norm, 0);
}

TEST(SharpnessLimits, IsUnknownIfNoCoordinateHasMoved) {
  const auto config = minute_config(models::Family::llama2, models::Placement::prenorm);
  const models::Model model = random_model(config, 1);
  Preconditioner unmoved;
  int64_t entries = 0;
  for (const auto& [name, tensor] : model.parameters) {
    unmoved.diagonals.add(name, at::full_like(tensor, INFINITY));
    entries += tensor.numel();
  }
  const Sharpness sharpness = measure_sharpness(model, random_batch(config, 2), unmoved, tight);
  EXPECT_TRUE(std::isnan(sharpness.lambda_max));
  EXPECT_EQ(sharpness.converged, 0);
  EXPECT_EQ(sharpness.left_out, entries);
}

// Multiplying P by 4 divides the eigenvalues by 4.
TEST(SharpnessLimits, ScalesInverselyWithThePreconditionerAndDoesNotChangeTheModel) {
  const auto config = minute_config(models::Family::gpt2, models::Placement::simplegpt);
  const models::Model model = random_model(config, 3);
  Preconditioner fours;
  std::vector<at::Tensor> copies;
  for (const auto& [name, tensor] : model.parameters) {
    fours.diagonals.add(name, at::full_like(tensor, 4.0));
    copies.push_back(tensor.clone());
  }
  const auto batch = random_batch(config, 4);
  const double bare = measure_sharpness(model, batch, {}, tight).lambda_max;
  EXPECT_NEAR(measure_sharpness(model, batch, fours, tight).lambda_max, bare / 4, 1e-6 * std::abs(bare));
  std::size_t i = 0;
  for (const auto& [name, tensor] : model.parameters) {
    EXPECT_TRUE(tensor.equal(copies[i++])) << name;
  }
}

}  // namespace
}  // namespace hessian::tests
