#include "hessian/hessian_of.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/nn/modules/activation.h>
#include <torch/nn/modules/container/sequential.h>
#include <torch/nn/modules/linear.h>
#include <torch/utils.h>

#include <stdexcept>
#include <string>
#include <vector>

#include "hessian/dense_operator.h"
#include "hessian/diagonal.h"
#include "hessian/finite_difference.h"
#include "hessian/largest_eigenpair.h"
#include "hessian/spectral_density.h"
#include "hessian/trace.h"
#include "random_problems.h"
#include "refusal.h"

using hessian::HessianOf;
using hessian::support::largest;
using hessian::support::Random;
using hessian::support::refusal_of;
using testing::HasSubstr;

namespace hessian::tests {
namespace {

/// Returns the Hessian as autograd's Jacobian of the gradient, row by row, without the code under test.
at::Tensor autograd_hessian(const std::function<at::Tensor()>& f, const std::vector<at::Tensor>& tensors) {
  const auto flat = [&](const std::vector<at::Tensor>& parts) {
    std::vector<at::Tensor> pieces;
    for (std::size_t i = 0; i < parts.size(); ++i) {
      pieces.push_back((parts[i].defined() ? parts[i] : at::zeros_like(tensors[i])).flatten());
    }
    return at::cat(pieces);
  };
  const at::Tensor gradient = flat(torch::autograd::grad({f()}, tensors, {}, true, true, true));
  std::vector<at::Tensor> rows;
  for (int64_t i = 0; i < gradient.numel(); ++i) {
    rows.push_back(flat(torch::autograd::grad({gradient[i]}, tensors, {}, true, false, true)));
  }
  return at::stack(rows);
}

/// A small multilayer perceptron of LibTorch's C++ frontend in float64, with data.
struct Perceptron {
  torch::nn::Sequential net{torch::nn::Linear(4, 6), torch::nn::Tanh(), torch::nn::Linear(6, 3)};
  at::Tensor x;
  at::Tensor y;

  explicit Perceptron(uint64_t seed) {
    torch::manual_seed(seed);
    net->to(at::kDouble);
    Random random(seed);
    x = random.normal({10, 4});
    y = random.normal({10, 3});
    for (at::Tensor& parameter : net->parameters()) {
      const torch::NoGradGuard no_grad;
      parameter.copy_(random.normal(parameter.sizes()) / 2);
    }
  }
  at::Tensor loss() { return torch::mse_loss(net->forward(x), y); }
};

TEST(HessianOf, HasTheMatrixOfAModulesLoss) {
  for (uint64_t seed = 0; seed < 4; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    Perceptron model(seed);
    const auto H = hessian_of([&] { return model.loss(); }, model.net->parameters());
    EXPECT_EQ(H.problems(), 1);
    EXPECT_EQ(H.dim(), 4 * 6 + 6 + 6 * 3 + 3);
    const at::Tensor expected = autograd_hessian([&] { return model.loss(); }, model.net->parameters());
    EXPECT_LT(largest(to_dense(H)[0] - expected), 1e-13 * largest(expected));
    EXPECT_GT(largest(expected), 0.1);
    EXPECT_NEAR(H.value().item<double>(), model.loss().item<double>(), 1e-15);
    model.loss().backward();
    std::vector<at::Tensor> gradients;
    for (const at::Tensor& parameter : model.net->parameters()) {
      gradients.push_back(parameter.grad());
    }
    EXPECT_LT(largest(H.gradient() - concatenated(gradients)), 1e-14);
  }
}

TEST(HessianOf, AgreesWithCentralDifferencesOfTheGradient) {
  Perceptron model(5);
  const auto parameters = model.net->parameters();
  const auto H = hessian_of([&] { return model.loss(); }, parameters);
  const at::Tensor v = Random(6).normal({1, H.dim()});
  const double step = 1e-5;
  const auto gradient_at = [&](double distance) {
    const torch::NoGradGuard no_grad;
    const auto moves = H.split(distance * v[0]);
    for (std::size_t i = 0; i < parameters.size(); ++i) {
      parameters[i].add_(moves[i]);
    }
    const at::Tensor gradient = hessian_of([&] { return model.loss(); }, parameters).gradient();
    for (std::size_t i = 0; i < parameters.size(); ++i) {
      parameters[i].sub_(moves[i]);
    }
    return gradient;
  };
  const at::Tensor product = hessian_of([&] { return model.loss(); }, parameters).apply(v.unsqueeze(1))[0];
  const at::Tensor differences = (gradient_at(step) - gradient_at(-step)).unsqueeze(0) / (2 * step);
  EXPECT_LT(relative_difference(product, differences).item<double>(), 1e-8);
}

TEST(HessianOf, TakesOneTensorAndHasTheMatrixOfAQuartic) {
  // f = (x^T x)^2 / 4: H = (x^T x) I + 2 x x^T.
  const at::Tensor x = Random(1).normal({2, 3}).requires_grad_();
  const auto H = hessian_of([&] { return x.square().sum().square() / 4; }, x);
  const at::Tensor flat = x.detach().flatten();
  const at::Tensor expected = flat.dot(flat) * at::eye(6, at::kDouble) + 2 * at::outer(flat, flat);
  EXPECT_LT(largest(to_dense(H)[0] - expected), 1e-12);
  EXPECT_EQ(H.split(H.gradient()).front().sizes(), x.sizes());
}

TEST(HessianOf, GivesEstimatorsAndSolversTheSameOperator) {
  Perceptron model(2);
  const auto H = hessian_of([&] { return model.loss(); }, model.net->parameters());
  const at::Tensor matrix = to_dense(H);
  const at::Tensor exact = support::dense_eigenvalues(matrix);
  const auto top = largest_eigenpair(H, {.tolerance = 1e-8});
  EXPECT_NEAR(std::abs(top.value), largest(exact), 1e-7);
  const auto trace = hutchinson_trace(H, {.samples = 200});
  EXPECT_NEAR(trace.value.item<double>(), matrix[0].trace().item<double>(), 4 * trace.standard_error.item<double>());
  const auto quadrature = spectral_quadrature(H, {.samples = 4, .steps = 200});
  EXPECT_NEAR(quadrature.nodes.nan_to_num(-1e9).max().item<double>(), exact.max().item<double>(), 1e-9);
  EXPECT_LT(largest(estimate_diagonal(H, {.samples = 2}).value.sum()), 1e3);
}

TEST(HessianOf, HasZeroRowsForTensorsThatAreNotUsedOrEnterLinearly) {
  const at::Tensor used = Random(2).normal({3}).requires_grad_();
  const at::Tensor unused = Random(3).normal({2}).requires_grad_();
  const at::Tensor linear = Random(4).normal({1}).requires_grad_();
  const auto H = hessian_of([&] { return used.pow(3).sum() + 2 * linear.sum(); }, {used, unused, linear});
  const at::Tensor expected = at::diag(at::cat({6 * used.detach(), at::zeros({3}, at::kDouble)}));
  EXPECT_LT(largest(to_dense(H)[0] - expected), 1e-13);
  EXPECT_LT(largest(H.gradient() - at::cat({3 * used.detach().square(), at::tensor({0., 0., 2.}, at::kDouble)})),
            1e-13);
  // A function that is linear in everything has the matrix zero.
  EXPECT_EQ(largest(to_dense(hessian_of([&] { return used.sum(); }, used))), 0.0);
}

TEST(HessianOf, WorksUnderNoGradAndSetsNoGradients) {
  const at::Tensor x = Random(3).normal({4}).requires_grad_();
  const torch::NoGradGuard no_grad;
  const HessianOf H = hessian_of([&] { return x.exp().sum(); }, x);
  const HessianOf copy = H;
  EXPECT_LT(largest(to_dense(copy)[0] - at::diag(x.exp())), 1e-13);
  EXPECT_FALSE(to_dense(H).requires_grad());
  EXPECT_FALSE(x.grad().defined());
}

TEST(HessianOf, TakesFloat32) {
  const at::Tensor x = Random(4).normal({5}, at::kFloat).requires_grad_();
  const auto H = hessian_of([&] { return x.pow(4).sum().reshape({1}); }, x);
  EXPECT_EQ(H.vector_options().dtype(), at::kFloat);
  EXPECT_LT(largest(to_dense(H)[0] - at::diag(12 * x.detach().square())), 1e-4);
}

TEST(HessianOf, RefusesUnsuitableTensors) {
  const at::Tensor x = at::ones({3}, at::kDouble).requires_grad_();
  const auto refusal = [&](const std::vector<at::Tensor>& tensors) {
    return refusal_of<std::invalid_argument>([&] { hessian_of([&] { return x.square().sum(); }, tensors); });
  };
  EXPECT_EQ(refusal({}), "hessian_of() expects at least one tensor to differentiate with respect to");
  EXPECT_EQ(refusal({x, at::Tensor()}), "tensor 1 of hessian_of() is undefined");
  EXPECT_EQ(refusal({x, at::ones({2}, at::kLong)}),
            "tensor 1 of hessian_of() is Long [2] on cpu, expected a real floating-point type");
  EXPECT_EQ(refusal({x, at::ones({2}, at::kFloat).requires_grad_()}),
            "tensor 1 of hessian_of() is Float [2] on cpu, tensor 0 is Double [3] on cpu; expected one precision and "
            "device");
  EXPECT_EQ(refusal({x.detach()}),
            "tensor 0 of hessian_of() is Double [3] on cpu without requires_grad, expected a tensor that requires "
            "gradients");
  EXPECT_EQ(refusal({x, x}), "tensors 0 and 1 of hessian_of() are the same, expected each once");
  EXPECT_EQ(refusal({at::empty({0}, at::kDouble).requires_grad_()}), "the tensors of hessian_of() have no entries");
  EXPECT_EQ(refusal({at::ones({2}, at::kDouble).requires_grad_()}),
            "the result of the function of hessian_of() depends on none of its 1 tensors");
}

TEST(HessianOf, RefusesUnsuitableResults) {
  const at::Tensor x = at::ones({3}, at::kDouble).requires_grad_();
  const auto refusal = [&](const std::function<at::Tensor()>& f) {
    return refusal_of<std::invalid_argument>([&] { hessian_of(f, x); });
  };
  EXPECT_EQ(refusal([] { return at::Tensor(); }),
            "the function of hessian_of() returns an undefined tensor, expected a scalar");
  EXPECT_EQ(refusal([&] { return x * 2; }),
            "the function of hessian_of() returns Double [3] on cpu, expected one floating-point number");
  EXPECT_THAT(refusal([&] { return x.detach().sum(); }), HasSubstr("has no graph, expected one that depends on"));
}

TEST(SplitLike, IsTheInverseOfConcatenated) {
  Random random(9);
  const std::vector<at::Tensor> tensors = {random.normal({2, 3}), random.normal({}), random.normal({4})};
  const at::Tensor flat = concatenated(tensors);
  EXPECT_EQ(flat.numel(), 11);
  const auto same = split_like(flat, tensors);
  ASSERT_EQ(same.size(), 3U);
  for (std::size_t i = 0; i < 3; ++i) {
    EXPECT_TRUE(at::equal(same[i], tensors[i]));
  }
  const auto batch = split_like(at::stack({flat, 2 * flat}), tensors);
  EXPECT_TRUE(at::equal(batch[0], at::stack({tensors[0], 2 * tensors[0]})));
  EXPECT_EQ(refusal_of<std::invalid_argument>([&] { split_like(flat.narrow(0, 0, 10), tensors); }),
            "flat vectors are [10], expected [..., 11]");
}

}  // namespace
}  // namespace hessian::tests
