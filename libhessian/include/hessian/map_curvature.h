#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "hessian/operator_algebra.h"
#include "hessian/parameters.h"
#include "hessian/program.h"

namespace hessian {

/// A linear map of a program, z = W x. If the only reader of W x is a norm, the map includes it: z = norm(W x),
/// as in SimpleNorm.
struct LinearMap {
  std::string weight;
  ValueId input = 0;   ///< x
  ValueId output = 0;  ///< z
  bool normalised = false;
};

/// Returns the linear maps of a program in the order of its steps, without the output head (CrossEntropyHead).
std::vector<LinearMap> linear_maps(const Program& program);

/// The two terms of the Hessian of the losses with respect to the input x of one linear map:
///   H_xx = J^T H_zz J + C,   J = dz/dx,   C = sum_i (df/dz_i) d2z_i/dx2.
/// The gain term J^T H_zz J is the loss's curvature at z, transformed by the map. C is the curvature of the
/// normalisation itself, and zero for a bare linear map. Other steps that read x see its fixed value. S problems, one
/// per sequence; all operators act on the entries of x, [S, k, T * width].
///
/// Cost: a product with the gain term takes one product with H_zz (see TapeOperator) and four with W; a product with C
/// takes four with W.
/// Memory: that of a TapeOperator, plus a few copies of x and z during a product.
/// Source: arXiv 2602.01212 (SimpleGPT), the section on H_xx of linear maps and SimpleNorm.
class MapCurvature {
 public:
  /// \param inputs  one tensor [S, ...] per input of the program
  /// \throws std::invalid_argument  as Tape
  MapCurvature(const Program& program, const Parameters& parameters, std::vector<at::Tensor> inputs,
               const LinearMap& map);

  /// Returns J^T H_zz J.
  OperatorPtr gain_term() const;
  /// Returns C.
  OperatorPtr curvature_term() const;
  /// Returns the sum of both terms, H_xx.
  OperatorPtr hessian() const { return sum(gain_term(), curvature_term()); }

 private:
  struct Point;
  std::shared_ptr<const Point> point_;
};

}  // namespace hessian
