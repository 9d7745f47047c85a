#pragma once

#include <ATen/ATen.h>

#include <ostream>
#include <string>
#include <vector>

#include "hessian/hessian_operator.h"
#include "hessian/models/forward.h"

namespace hessian::support {

/// A reference result: a checkpoint and what the code that it comes from makes of it, in float64.
struct Fixture {
  std::string model;     ///< path of the checkpoint, below the folder of fixtures
  std::string expected;  ///< path of the safetensors with the expected tensors
};

/// Named by its checkpoint in the output of a test.
inline std::ostream& operator<<(std::ostream& out, const Fixture& fixture) {
  return out << fixture.model;
}

/// Absolute path of a fixture's file.
std::string fixture_path(const std::string& name);

/// Every fixture with logits, loss, gradients and products.
std::vector<Fixture> all_fixtures();

/// The tiny models whose eigenvalues are known in full.
std::vector<Fixture> dense_fixtures();

/// The checkpoint, widened or narrowed.
hessian::models::Model load_fixture_model(const Fixture& fixture, at::ScalarType dtype);

hessian::Parameters load_expected(const Fixture& fixture);

/// Residuals before every block and before the final norm.
std::vector<at::Tensor> residuals_of(const hessian::models::Forward& forward, const at::Tensor& tokens);

/// Losses of the sequences as a function of the residual before `layer`.
hessian::ProblemFunction residual_losses(const hessian::models::Forward& forward, int64_t layer,
                                         const at::Tensor& targets);

/// max |a - b| / max |b|.
double relative_error(const at::Tensor& actual, const at::Tensor& expected);

}  // namespace hessian::support
