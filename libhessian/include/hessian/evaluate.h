#pragma once

#include <ATen/ATen.h>

#include <functional>
#include <map>
#include <span>

#include "hessian/parameters.h"
#include "hessian/program.h"

namespace hessian {

/// Where rounding happens inside the primitives.
enum class Numerics {
  /// Norms, softmax, RoPE and cross-entropy compute in float32 or wider, and in float64 throughout for float64
  /// activations.
  wide,
  /// Norms, softmax and RoPE's table are rounded to float32 even for float64 activations, as Hugging Face's code does:
  /// for comparison with its results. Its gradients carry float32 noise, so that finite differences of them are of no
  /// use.
  float32_internals,
};

/// How often autograd may differentiate what is computed.
enum class Derivatives {
  /// Any number of times: LibTorch operators whose derivatives have derivatives of their own.
  any,
  /// Once, as training needs: the same mathematics by fused kernels, which keep less and read memory fewer times. A
  /// second derivative throws std::runtime_error and is never silently wrong. RMSNorm's result has the precision of its
  /// input, whatever that of its gain. Not to be combined with Numerics::float32_internals.
  first,
};

struct EvaluateOptions {
  Numerics numerics = Numerics::wide;
  Derivatives derivatives = Derivatives::any;
  /// Values that are given instead of computed. What only they need is not computed either.
  std::map<ValueId, at::Tensor> overrides;
  /// Called with each value as it is computed, inputs excepted.
  std::function<void(ValueId, const at::Tensor&)> observe;
};

/// Runs a program with LibTorch operators, which autograd can differentiate any number of times unless
/// options.derivatives says that once is enough. Parameters that are deferred are fetched step by step and let go
/// again, but for what autograd keeps of them.
///
/// \param inputs  one tensor for each input of the program
/// \return        the program's output
/// \throws std::invalid_argument  if the number of inputs differs from the program's, or if the options exclude each
///                                other
/// \throws std::out_of_range      if a parameter is absent
/// Cost: of the matrix products; attention holds its [S, n_heads, T, T] weights, but not with Derivatives::first.
at::Tensor evaluate(const Program& program, const Parameters& parameters, std::span<const at::Tensor> inputs,
                    const EvaluateOptions& options = {});

/// One primitive of evaluate(), for tests and for other interpreters' oracles.
at::Tensor apply_operation(const Operation& operation, const Parameters& parameters, std::span<const at::Tensor> inputs,
                           Numerics numerics = Numerics::wide, Derivatives derivatives = Derivatives::any);

}  // namespace hessian
