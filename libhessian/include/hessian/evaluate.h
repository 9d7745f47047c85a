#pragma once

#include <ATen/ATen.h>

#include <functional>
#include <map>
#include <span>

#include "hessian/parameters.h"
#include "hessian/program.h"

namespace hessian {

/// The precision of intermediate results inside the primitives.
enum class Numerics {
  /// Norms, softmax, RoPE and cross-entropy compute in float32 or wider, and in float64 throughout for float64
  /// activations.
  wide,
  /// Norms, softmax and RoPE's table are rounded to float32 even for float64 activations, as in Hugging Face's code. For
  /// comparisons with its results only: the gradients have float32 noise, which makes finite differences of them useless.
  float32_internals,
};

/// How often autograd can differentiate the result.
enum class Derivatives {
  /// Any number of times: uses only LibTorch operators that have derivatives of every order.
  any,
  /// Once, for training: uses fused kernels, which keep less memory and read it fewer times. A second derivative throws
  /// std::runtime_error; it is never silently wrong. The result of RMSNorm has the precision of its input, whatever the
  /// precision of its gain. Cannot be combined with Numerics::float32_internals.
  first,
};

struct EvaluateOptions {
  Numerics numerics = Numerics::wide;
  Derivatives derivatives = Derivatives::any;
  /// Values that are given rather than computed. Steps needed only for them are skipped.
  std::map<ValueId, at::Tensor> overrides;
  /// Called with each computed value.
  std::function<void(ValueId, const at::Tensor&)> observe;
};

/// Runs a program with LibTorch operators under autograd. Deferred parameters are loaded for one step at a time and
/// released after it, unless autograd keeps them.
///
/// \param inputs  one tensor for each input of the program
/// \return        the program's output
/// \throws std::invalid_argument  if the number of inputs is wrong, or if the options exclude each other
/// \throws std::out_of_range      if a parameter is missing
/// Cost: the matrix products. Memory: attention materialises its [S, n_heads, T, T] weights, except with
/// Derivatives::first.
at::Tensor evaluate(const Program& program, const Parameters& parameters, std::span<const at::Tensor> inputs,
                    const EvaluateOptions& options = {});

/// Computes one primitive as evaluate() does. For tests, and as the reference for other interpreters of programs.
at::Tensor apply_operation(const Operation& operation, const Parameters& parameters, std::span<const at::Tensor> inputs,
                           Numerics numerics = Numerics::wide, Derivatives derivatives = Derivatives::any);

}  // namespace hessian
