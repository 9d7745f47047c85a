#pragma once

#include <ATen/ATen.h>

#include <memory>
#include <string>
#include <vector>

#include "hessian/curvature.h"
#include "hessian/parameters.h"
#include "hessian/program.h"

namespace hessian {

namespace tape {
class RecordedProgram;
}

/// Like Tape, but for products with the curvature with respect to parameters: vectors enter at parameters rather than at
/// values.
///
/// For y = x W^T with cotangent ybar, the forward pass carries ydot = xdot W^T + x Wdot^T, and the backward pass
///   xbardot = ybardot W + ybar Wdot,   Wbardot = ybardot^T x + ybar^T xdot.
/// A parameter that several steps read gets the sum of their contributions. Products with the Gauss-Newton and Fisher
/// matrices are the same passes with zero cotangents, which drops the terms with ybar, and another second derivative of
/// the loss.
///
/// Cost: construction, one gradient. apply(): per vector, six products per linear map, or four for Gauss-Newton and
/// Fisher; a gradient takes three. With checkpoints, apply() also runs the program forward twice and backward once, and
/// takes 1.5x per vector. Memory: as for Tape, and the input and the cotangent of every linear map and norm whose
/// parameters vary.
/// Source: Pearlmutter (1994), Fast exact multiplication by the Hessian; Griewank & Walther, Evaluating Derivatives, 2nd
/// ed., section 3.4, and chapter 12 for checkpoints.
class ParameterTape {
 public:
  /// \param inputs       one tensor [S, ...] for each input of the program. With Curvature::fisher, the labels may be
  ///                     [S, T, M]: M per token, over which the matrix is averaged
  /// \param names        the parameters that vary, without repetition
  /// \param checkpoints  see Tape; empty: keep all intermediate values
  /// \throws std::invalid_argument  if the output is not a cross-entropy [S] or depends on none of the parameters; if
  ///                                parameters differ in precision, or are neither float32 nor float64
  /// \throws std::out_of_range      if a parameter is missing
  ParameterTape(const Program& program, const Parameters& parameters, const std::vector<at::Tensor>& inputs,
                const std::vector<std::string>& names, Curvature curvature = Curvature::hessian,
                const std::vector<ValueId>& checkpoints = {});
  ParameterTape(ParameterTape&&) noexcept;
  ParameterTape& operator=(ParameterTape&&) noexcept;
  ~ParameterTape();

  /// Returns the losses f_s, [S].
  const at::Tensor& losses() const;

  /// Computes products with the curvature of the sum of all f_s. For f_s = 1/T sum_t l_t over the T tokens of a sequence,
  /// the Gauss-Newton and Fisher matrices are 1/T times the sum over its tokens.
  /// \param vectors  [k, n], over the n entries of the parameters in the order of their names
  /// \return         [k, n]
  /// \throws std::invalid_argument  if the shape, precision or device does not match
  at::Tensor apply(const at::Tensor& vectors) const;

 private:
  Parameters selected_;
  std::unique_ptr<tape::RecordedProgram> recorded_;
};

}  // namespace hessian
