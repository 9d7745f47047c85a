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
class Recording;
}

/// A program run once, with what products of its curvature with respect to parameters need kept: Tape's twin, whose
/// vectors enter at parameters instead of values.
///
/// For y = x W^T with cotangent ybar, a sweep carries on its way forward ydot = xdot W^T + x Wdot^T, and on its way back
///   xbardot = ybardot W + ybar Wdot,   Wbardot = ybardot^T x + ybar^T xdot.
/// A parameter that several steps read gets the sum of their contributions. Gauss-Newton and Fisher matrices are the same
/// sweep with zero cotangents and another derivative of the loss, which leaves out the terms with ybar.
///
/// Cost: making it is one gradient. A sweep is, for each vector, six products for every linear map where a gradient
/// has three: two gradients; four for Gauss-Newton and Fisher. With checkpoints two gradients more a sweep, and half as
/// much again for each vector. Memory: Tape's, and beside it the input and the cotangent of every linear map and norm
/// whose parameters vary.
/// Source: Pearlmutter (1994), Fast exact multiplication by the Hessian; Griewank & Walther, Evaluating Derivatives, 2nd
/// ed., section 3.4, and chapter 12 for checkpoints.
class ParameterTape {
 public:
  /// \param inputs       one tensor [S, ...] for each input of the program. With Curvature::fisher the labels may be
  ///                     [S, T, M]: M for each token, over which the matrix is a mean
  /// \param names        the parameters that vary, without repetition
  /// \param checkpoints  see Tape; empty: everything is kept
  /// \throws std::invalid_argument  if the output is not [S], depends on none of the parameters, or is no cross-entropy
  ///                                where the curvature is not the Hessian; if parameters differ in precision, or are
  ///                                neither float32 nor float64
  /// \throws std::out_of_range      if a parameter is absent
  ParameterTape(const Program& program, const Parameters& parameters, const std::vector<at::Tensor>& inputs,
                const std::vector<std::string>& names, Curvature curvature = Curvature::hessian,
                const std::vector<ValueId>& checkpoints = {});
  ParameterTape(ParameterTape&&) noexcept;
  ParameterTape& operator=(ParameterTape&&) noexcept;
  ~ParameterTape();

  /// f_s, [S].
  const at::Tensor& losses() const;

  /// Products of the curvature of the sum of all f_s. With T tokens a sequence that of f_s = 1/T sum_t l_t is, for
  /// Gauss-Newton and Fisher, 1/T times the sum over its tokens.
  /// \param vectors  [k, n], the n entries of the parameters in the order of their names
  /// \return         [k, n]
  /// \throws std::invalid_argument  for another shape, precision or device
  at::Tensor apply(const at::Tensor& vectors) const;

 private:
  Parameters selected_;
  std::unique_ptr<tape::Recording> recording_;
};

}  // namespace hessian
