#pragma once

#include <ATen/ATen.h>

#include <ostream>
#include <string>
#include <vector>

#include "hessian/hessian_operator.h"
#include "hessian/models/forward.h"

namespace hessian::support {

/// A reference result: a checkpoint, and the tensors that the code of its origin computes from it in float64.
struct Fixture {
  std::string model;     ///< path of the checkpoint below tests/fixtures
  std::string expected;  ///< path of the safetensors file with the expected tensors
};

/// Prints the path of the checkpoint, which names the fixture in the output of a test.
inline std::ostream& operator<<(std::ostream& out, const Fixture& fixture) {
  return out << fixture.model;
}

/// Returns the absolute path of a fixture's file.
std::string fixture_path(const std::string& name);

/// Returns every fixture; all have logits, loss, gradients and Hessian-vector products.
std::vector<Fixture> all_fixtures();

/// Returns the fixtures of twelve architectures of transformers, computed in float64 without any rounding to float32.
std::vector<Fixture> architecture_fixtures();

/// Returns the fixtures of tiny models, which also have all eigenvalues: those of the official SimpleGPT code come first.
std::vector<Fixture> dense_fixtures();

/// Loads the checkpoint and converts its parameters.
models::Model load_fixture_model(const Fixture& fixture, at::ScalarType dtype);

Parameters load_expected(const Fixture& fixture);

/// Returns the residuals before every layer and before the final norm.
std::vector<at::Tensor> residuals_of(const models::Forward& forward, const at::Tensor& tokens);

/// Returns the losses of the sequences as a function of the residual before `layer`.
ProblemFunction residual_losses(const models::Forward& forward, int64_t layer, const at::Tensor& targets);

/// Returns max |a - b| / max |b|, infinity if the shapes differ.
double relative_error(const at::Tensor& actual, const at::Tensor& expected);

}  // namespace hessian::support
