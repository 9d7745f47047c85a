// Compares models on a CUDA device with the CPU: gradients, Hessian-vector products, eigenvalues, training.

#include <c10/core/GradMode.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "cuda_device.h"
#include "fixtures.h"
#include "hessian/lanczos.h"
#include "hessian/models/forward.h"
#include "hessian/models/model.h"
#include "hessian/tape_operator.h"
#include "tiny_models.h"
#include "train/training.h"
#include "training_support.h"

namespace hessian::tests {
namespace {

using experiments::TrainConfig;
using experiments::Training;
using support::relative_error;
using support::TemporaryFolder;

/// Returns a model wide enough for the CUDA kernels of training: heads of 32, rows that fill whole packs.
models::Model small_model(models::Family family, models::Placement placement) {
  models::GptConfig config = support::tiny_config(family, placement);
  config.dim = 128;
  config.head_dim = 32;
  config.ffn_hidden_dim = 192;
  config.max_seq_len = 64;
  return models::initialise_model(config, 71);
}

template <class Check>
void for_all_models(const Check& check) {
  for (const models::GptConfig& tiny : support::all_tiny_configs()) {
    const models::Model model = small_model(tiny.family, tiny.placement);
    SCOPED_TRACE(support::name_of(model.config));
    check(model);
  }
}

TrainConfig run_of(const std::string& source, const std::string& dtype) {
  TrainConfig config;
  config.steps = 40;
  config.dtype = dtype;
  config.data.source = source;
  config.data.seq_len = 48;
  config.data.batch_size = 4;
  config.optimizer.lr = 3e-3;
  // Some gradients are 0 up to rounding; Adam divides the rounding error by eps.
  config.optimizer.eps = 1e-6;
  config.schedule.warmup = 3;
  config.validation.sequences = 4;
  return config;
}

/// Writes the numbers 0 to 6 repeatedly, which a model learns quickly.
std::string counting_source(const TemporaryFolder& folder) {
  return support::write_tokens(folder, "tokens.bin", at::arange(4000, at::kLong).remainder(7));
}

Training training_on(at::Device device, const TrainConfig& config, const models::Model& model) {
  return {config, model, support::open_data(config, model.config.vocab_size), device};
}

/// The residual before layer 0 and the targets, on a device.
struct Point {
  models::Forward forward;
  at::Tensor residual;
  at::Tensor targets;

  Point(const models::Model& model, at::Device device, at::ScalarType dtype, Derivatives derivatives)
      : forward({model.config, model.parameters.to(device, dtype)}, Numerics::wide, derivatives) {
    const at::Tensor tokens = support::random_tokens(model.config, 2, 25, 72);
    const c10::NoGradGuard no_grad;
    residual = forward.embed(tokens.narrow(1, 0, 24).to(device));
    targets = tokens.narrow(1, 1, 24).contiguous().to(device);
  }

  TapeOperator tape() const { return {forward.losses_program(0), forward.parameters(), {residual, targets}, 0}; }
};

/// Returns the same vectors for every operator of that size.
at::Tensor random_vectors(const LinearOperator& op, int64_t k) {
  return at::randn({op.problems(), k, op.dim()}, at::detail::createCPUGenerator(73), at::dtype(at::kDouble));
}

// The order of summation differs, by a relative 1e-16 each.
TEST(CudaModels, GradientsAgreeWithTheCpu) {
  if (!support::has_cuda()) {
    GTEST_SKIP() << support::no_cuda;
  }
  for_all_models([](const models::Model& model) {
    const auto gradient = [&](at::Device device, Derivatives derivatives) {
      Point point(model, device, at::kDouble, derivatives);
      const at::Tensor x = point.residual.requires_grad_(true);
      return torch::autograd::grad({point.forward.losses(0, x, point.targets).sum()}, {x})[0].cpu();
    };
    const at::Tensor expected = gradient(at::kCPU, Derivatives::any);
    EXPECT_LT(relative_error(gradient(at::kCUDA, Derivatives::any), expected), 1e-11);
    EXPECT_LT(relative_error(gradient(at::kCUDA, Derivatives::first), expected), 1e-11);
  });
}

TEST(CudaModels, ProductsAndEigenvaluesAgreeWithTheCpu) {
  if (!support::has_cuda()) {
    GTEST_SKIP() << support::no_cuda;
  }
  for_all_models([](const models::Model& model) {
    const auto host = Point(model, at::kCPU, at::kDouble, Derivatives::any).tape();
    const auto device = Point(model, at::kCUDA, at::kDouble, Derivatives::any).tape();
    const at::Tensor v = random_vectors(host, 3);
    EXPECT_LT(relative_error(device.apply(v.to(at::kCUDA)).cpu(), host.apply(v)), 1e-11);
    const ExtremalEigenvalues expected = lanczos(host);
    const ExtremalEigenvalues found = lanczos(device);
    // Both stop at a residual of 1e-3; the error of the eigenvalue is far smaller.
    EXPECT_LT(relative_error(found.lambda_max.cpu(), expected.lambda_max.cpu()), 1e-4);
    EXPECT_LT(relative_error(found.lambda_min.cpu(), expected.lambda_min.cpu()), 1e-4);
  });
}

// Factors of products are rounded by 2^-9 on both devices, their results only on the CPU.
TEST(CudaModels, ProductsWithBfloat16WeightsAgreeWithTheCpu) {
  if (!support::has_cuda()) {
    GTEST_SKIP() << support::no_cuda;
  }
  for_all_models([](const models::Model& model) {
    const auto product = [&](at::Device device, at::ScalarType weights) {
      Point point(model, device, at::kFloat, Derivatives::any);
      const TapeOperator op(point.forward.losses_program(0), model.parameters.to(device, weights),
                            {point.residual, point.targets}, 0);
      return op.apply(random_vectors(op, 1).to(device, at::kFloat)).cpu();
    };
    const at::Tensor single = product(at::kCPU, at::kFloat);
    EXPECT_LT(relative_error(product(at::kCUDA, at::kFloat), single), 1e-4);
    EXPECT_LT(relative_error(product(at::kCUDA, at::kBFloat16), single), 0.1);
    EXPECT_GT(relative_error(product(at::kCUDA, at::kBFloat16), single), 1e-4) << "nothing was rounded";
  });
}

// Adam turns differences between gradients into differences of up to the learning rate between weights, so that runs in
// float32 drift apart. In float64 they do not within ten steps.
TEST(CudaTraining, StepsAgreeWithTheCpu) {
  if (!support::has_cuda()) {
    GTEST_SKIP() << support::no_cuda;
  }
  for_all_models([](const models::Model& model) {
    const TemporaryFolder folder;
    for (const std::string dtype : {"float64", "float32"}) {
      for (const std::string optimizer : {"adamw", "sgd"}) {
        SCOPED_TRACE(dtype + " " + optimizer);
        TrainConfig config = run_of(counting_source(folder), dtype);
        config.optimizer.name = optimizer;
        config.data.accumulation = 2;
        Training host = training_on(at::kCPU, config, model);
        Training device = training_on(at::kCUDA, config, model);
        const double tolerance = dtype == "float64" ? 1e-8 : 1e-3;
        for (int step = 0; step < 10; ++step) {
          const auto expected = host.update();
          const auto found = device.update();
          ASSERT_NEAR(found.loss, expected.loss, tolerance * expected.loss) << "step " << step;
          ASSERT_NEAR(found.grad_norm, expected.grad_norm, 10 * tolerance * expected.grad_norm) << "step " << step;
        }
        EXPECT_NEAR(device.validate(), host.validate(), 10 * tolerance * host.validate());
      }
    }
  });
}

TEST(CudaTraining, InBfloat16LearnsWhatFloat32Learns) {
  if (!support::has_cuda()) {
    GTEST_SKIP() << support::no_cuda;
  }
  for_all_models([](const models::Model& model) {
    const TemporaryFolder folder;
    const auto losses = [&](at::Device device, const std::string& dtype) {
      Training training = training_on(device, run_of(counting_source(folder), dtype), model);
      std::vector<double> all;
      for (int step = 0; step < 40; ++step) {
        all.push_back(training.update().loss);
      }
      for (const auto& [name, parameter] : training.forward().parameters()) {
        EXPECT_EQ(parameter.scalar_type(), at::kFloat) << name;
      }
      return all;
    };
    const auto single = losses(at::kCPU, "float32");
    const auto half = losses(at::kCUDA, "bfloat16");
    EXPECT_NEAR(half.front(), single.front(), 0.02 * single.front());
    EXPECT_NE(half.front(), single.front()) << "nothing was rounded";
    EXPECT_LT(half.back(), 0.7 * half.front());
    EXPECT_NEAR(half.back(), single.back(), 0.1 * single.front());
  });
}

TEST(CudaTraining, ContinuesOnTheCpuFromACheckpointOfTheDeviceAndViceVersa) {
  if (!support::has_cuda()) {
    GTEST_SKIP() << support::no_cuda;
  }
  const models::Model model = small_model(models::Family::llama3, models::Placement::simplegpt);
  const TemporaryFolder folder;
  const TrainConfig config = run_of(counting_source(folder), "float64");
  for (const auto& [before, after] : {std::pair<at::Device, at::Device>{at::kCUDA, at::kCPU}, {at::kCPU, at::kCUDA}}) {
    SCOPED_TRACE(before.str() + " to " + after.str());
    Training straight = training_on(at::kCPU, config, model);
    Training interrupted = training_on(before, config, model);
    for (int step = 0; step < 4; ++step) {
      straight.update();
      interrupted.update();
    }
    models::save_training_checkpoint(interrupted.checkpoint(""), folder / "c.safetensors");
    Training resumed = training_on(after, config, model);
    resumed.restore(models::load_training_checkpoint(folder / "c.safetensors"), "c.safetensors");
    EXPECT_EQ(resumed.step(), 4);
    for (int step = 0; step < 6; ++step) {
      const double expected = straight.update().loss;
      EXPECT_NEAR(resumed.update().loss, expected, 1e-8 * expected) << "step " << step;
    }
  }
}

}  // namespace
}  // namespace hessian::tests
