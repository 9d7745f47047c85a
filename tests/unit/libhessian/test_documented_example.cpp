#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cmath>
#include <string>
#include <vector>

#include "hessian/dense_operator.h"
#include "hessian/hessian_of.h"
#include "hessian/hessian_operator.h"
#include "hessian/largest_eigenpair.h"
#include "hessian/norms.h"
#include "hessian/parameters.h"
#include "hessian/spectral_density.h"
#include "hessian/top_eigenpairs.h"
#include "hessian/trace.h"

// The network of curvlinops' documentation (docs/examples/basic_usage/example_eigenvalues.py, "Eigenvalues"): an MLP of 88
// parameters and two batches, all drawn from PyTorch's seed 0. Its example prints the three leading eigenvalues of the Hessian;
// the values below are those of curvlinops 3.0.1 on PyTorch 2.11 in float64, with SciPy's eigsh; trace and norm are numpy's.

namespace hessian::tests {
namespace {

constexpr double tolerance = 1e-9;  // the precision of the numbers below

struct Example {
  Parameters parameters;
  at::Tensor inputs;
  at::Tensor targets;
  at::Tensor point;  // [1, 88]

  Example() {
    at::manual_seed(0);
    std::vector<at::Tensor> batches;
    for (int batch = 0; batch < 2; ++batch) {
      batches.push_back(at::rand({20, 7}));
      batches.push_back(at::rand({20, 3}));
    }
    inputs = at::cat({batches[0], batches[2]}).to(at::kDouble);
    targets = at::cat({batches[1], batches[3]}).to(at::kDouble);
    linear("first", 7, 5);
    linear("second", 5, 5);
    linear("last", 5, 3);
    std::vector<at::Tensor> entries;
    for (const auto& [name, tensor] : parameters) {
      entries.push_back(tensor.flatten());
    }
    point = at::cat(entries).unsqueeze(0);
  }

  /// Draws the parameters of a linear map as torch.nn.Linear does.
  void linear(const std::string& name, int64_t in, int64_t out) {
    const double bound = 1 / std::sqrt(static_cast<double>(in));
    parameters.add(name + ".weight", at::empty({out, in}).uniform_(-bound, bound).to(at::kDouble));
    parameters.add(name + ".bias", at::empty({out}).uniform_(-bound, bound).to(at::kDouble));
  }

  at::Tensor loss(const Parameters& p) const {
    const auto layer = [&p](const char* name, const at::Tensor& in) {
      return at::linear(in, p.at(std::string(name) + ".weight"), p.at(std::string(name) + ".bias"));
    };
    const at::Tensor output = layer("last", layer("second", layer("first", inputs).relu()).sigmoid());
    return (output - targets).square().mean();
  }

  /// Returns the Hessian of the loss as a function of one flat vector.
  HessianOperator flat_hessian() const {
    return {[this](const at::Tensor& x) { return loss(split_like(x.squeeze(0), parameters)).unsqueeze(0); }, point};
  }

  /// Returns the same Hessian from the parameters as separate tensors.
  HessianOf hessian() const {
    std::vector<at::Tensor> leaves;
    for (const auto& entry : parameters) {
      leaves.push_back(entry.second.detach().clone().requires_grad_());
    }
    return hessian_of(
        [&] {
          Parameters with_gradients;
          for (std::size_t i = 0; const auto& entry : parameters) {
            with_gradients.add(entry.first, leaves[i++]);
          }
          return loss(with_gradients);
        },
        leaves);
  }
};

constexpr auto top_values = {1.494304716296,  1.428170752628,  1.41091255217,
                             -0.301009222505, -0.229518288817, -0.167090972131};

TEST(DocumentedExample, IsTheNetworkThatPyTorchDraws) {
  const Example example;
  EXPECT_EQ(example.point.size(1), 88);
  EXPECT_EQ(example.inputs[0][0].item<double>(), 0.49625658988952637);
  EXPECT_EQ(example.point[0][0].item<double>(), 0.2417040914297104);
}

TEST(DocumentedExample, HasTheEigenvaluesThatCurvlinopsFinds) {
  const Example example;
  const HessianOf of_tensors = example.hessian();
  const HessianOperator of_flat_vector = example.flat_hessian();
  const at::Tensor expected = at::tensor(std::vector<double>(top_values), at::kDouble);
  for (const LinearOperator* op :
       {static_cast<const LinearOperator*>(&of_tensors), static_cast<const LinearOperator*>(&of_flat_vector)}) {
    const auto pairs = top_eigenpairs(*op, {.count = 3, .tolerance = 1e-8});
    EXPECT_LT((pairs.values[0] - expected).abs().max().item<double>(), tolerance) << pairs.values;
    EXPECT_TRUE(pairs.converged.all().item<bool>());
  }
}

TEST(DocumentedExample, HasTheSameLargestEigenpairAndMatrixInBothForms) {
  const Example example;
  const HessianOf op = example.hessian();
  EXPECT_EQ(op.dim(), 88);
  const auto top = largest_eigenpair(op, {.tolerance = 1e-8});
  EXPECT_NEAR(top.value, *top_values.begin(), tolerance);
  EXPECT_TRUE(top.converged);
  EXPECT_EQ(op.split(top.vector).front().sizes(), (std::vector<int64_t>{5, 7}));
  EXPECT_LT((to_dense(op) - to_dense(example.flat_hessian())).abs().max().item<double>(), 1e-14);
}

TEST(DocumentedExample, HasTheTraceAndNormOfItsMatrixWithinStandardErrors) {
  const Example example;
  const auto op = example.hessian();
  constexpr double trace = 4.294839144356729;
  constexpr double norm = 2.5935373577521386;
  const SampleOptions samples{.samples = 256};
  const auto expect = [](const Estimate& estimate, double value) {
    const auto error = estimate.standard_error.item<double>();
    EXPECT_GT(error, 0);
    EXPECT_LT(error, 0.1 * std::abs(value));
    EXPECT_NEAR(estimate.value.item<double>(), value, 4 * error);
  };
  expect(hutchinson_trace(op, samples), trace);
  expect(hutch_plus_plus_trace(op), trace);
  expect(frobenius_norm(op, samples), norm);
  const auto density = spectral_quadrature(op, {.samples = 64});
  expect(spectral_moment(density, 1), trace);
  expect(spectral_moment(density, 2), norm * norm);
}

}  // namespace
}  // namespace hessian::tests
