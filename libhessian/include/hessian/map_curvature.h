#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "hessian/operator_algebra.h"
#include "hessian/parameters.h"
#include "hessian/program.h"

namespace hessian {

/// A linear map of a program, with the norm that follows it where one does and nothing else reads between them:
/// z = W x, or z = norm(W x) as in SimpleNorm.
struct LinearMap {
  std::string weight;
  ValueId input = 0;   ///< x
  ValueId output = 0;  ///< z
  bool normalised = false;
};

/// The linear maps of a program in its order; the one that the loss is taken of, CrossEntropyHead, is not among them.
std::vector<LinearMap> linear_maps(const Program& program);

/// The Hessian of the losses with respect to the input x of one linear map, in its two terms:
///   H_xx = J^T H_zz J + C,   J = dz/dx,   C = sum_i (df/dz_i) d2z_i/dx2.
/// The gain term J^T H_zz J is what the loss's curvature at z becomes when it is seen through the map; C is the
/// curvature of the normalisation itself, and zero for a bare linear map. Where x is read elsewhere too, its other uses
/// are held fixed. S problems, one for each sequence; all operators are on the entries of x, [S, k, T * width].
///
/// Cost: a product of the gain term is one with H_zz (see TapeOperator) and four with W; one of C four with W.
/// Memory: that of a TapeOperator, and of x and z a few times while a product is made.
/// Source: arXiv 2602.01212 (SimpleGPT), the section on H_xx of linear maps and SimpleNorm.
class MapCurvature {
 public:
  /// \param inputs  one tensor [S, ...] for each input of the program
  /// \throws std::invalid_argument  as Tape
  MapCurvature(const Program& program, const Parameters& parameters, std::vector<at::Tensor> inputs,
               const LinearMap& map);

  /// J^T H_zz J.
  OperatorPtr gain_term() const;
  /// C.
  OperatorPtr curvature_term() const;
  /// The whole Hessian.
  OperatorPtr hessian() const { return sum(gain_term(), curvature_term()); }

 private:
  struct Point;
  std::shared_ptr<const Point> point_;
};

}  // namespace hessian
