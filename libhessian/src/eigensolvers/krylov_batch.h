#pragma once

#include <ATen/ATen.h>

#include <Eigen/Core>
#include <cmath>
#include <cstdint>
#include <vector>

#include "eigensolvers/krylov_polynomials.h"
#include "hessian/problem_seeds.h"

namespace hessian {

/// Ritz pairs of one problem.
struct RitzPairs {
  Eigen::VectorXd values;       ///< ascending
  Eigen::MatrixXd coordinates;  ///< of the Ritz vectors in the basis, one column each
  Eigen::VectorXd residuals;    ///< ||Hv - lambda v|| according to the recurrence

  /// Returns the largest magnitude of a Ritz value.
  double spectral_norm() const;
};

/// Columns of Ritz pairs, counted from 0.
using RitzColumns = std::vector<Eigen::Index>;

/// Block Krylov spaces of the problems that still iterate, as one batch of tensors.
///
/// With b vectors per product (b = 1 is Lanczos), each problem satisfies H V = V T + Q B E^T: V is the basis, Q the b
/// vectors that enter it next, orthonormal to it, E the last columns of the identity, and T = V^T H V the projection, of
/// which only the lower triangle is stored. All coefficients come from full orthogonalisation, so the relation also holds
/// after Ritz vectors have replaced the basis (thick restart). On breakdown (H Q lies in the space up to rounding) the
/// iteration continues with a random vector, whose coupling is of rounding size. Once the basis spans all n dimensions there
/// is no next vector.
///
/// Memory: S n (max_basis + b) scalars, plus 4 S n b during a product.
/// Source: Golub & Van Loan, Matrix Computations, 4th ed., sections 10.1 and 10.3.6; Wu & Simon (2000), Thick-restart
/// Lanczos method.
class KrylovBatch {
 public:
  /// \param width      number b of vectors per product
  /// \param max_basis  number of basis vectors stored, at least b and at most n
  /// \param seeds      of the start vectors and of the random vectors after a breakdown
  /// \param stream     first stream of each problem (see problem_generator); start vectors use stream ... stream + b - 1
  KrylovBatch(const LinearOperator& op, int64_t width, int64_t max_basis, ProblemSeeds seeds, uint64_t stream = 0);

  /// Returns whether no problem is left.
  bool empty() const { return problems_.empty(); }
  /// Returns the number of problems left.
  int64_t size() const { return static_cast<int64_t>(problems_.size()); }
  /// Returns the number of vectors in the basis.
  int64_t basis_size() const { return basis_size_; }
  /// Returns the number of vectors that the next product takes.
  int64_t width() const { return width_; }
  /// Returns whether the basis has no room for the next vectors, or there are no next vectors.
  bool full() const { return width_ == 0 || basis_size_ + width_ > max_basis_; }
  /// Returns the index that problem i of the batch has in the operator.
  int64_t problem(int64_t i) const { return problems_[static_cast<std::size_t>(i)]; }

  /// Takes one product: adds the next vectors to the basis and computes the vectors that follow them.
  void extend();

  /// Returns whether the last product of problem i was finite.
  bool finite(int64_t i) const;

  /// Solves the projected eigenproblem.
  RitzPairs ritz_pairs(int64_t i) const;

  /// Returns whether H maps the space of problem i to itself up to rounding, relative to the Ritz values.
  bool invariant(int64_t i, const RitzPairs& ritz) const;

  /// Returns whether this holds up to rounding relative to the largest product, for callers without Ritz values.
  bool exhausted(int64_t i) const;

  /// Returns whether the bases span all dimensions, so that the Ritz values are the eigenvalues.
  bool complete() const { return basis_size_ == op_.dim(); }

  /// Returns the basis of problem i as polynomials of its start vector. Only with one vector per product.
  const KrylovPolynomials& polynomials(int64_t i) const { return states_[static_cast<std::size_t>(i)].polynomials; }

  /// Returns ||V^T H V - (V^T H V)^T||_F of problem i over all basis vectors so far, which is zero for exact products of a
  /// symmetric H. Costs no product: of each pair of vectors, one order is a coefficient of the orthogonalisation, the other
  /// follows from the recurrence. Only with one vector per product.
  double asymmetry(int64_t i) const { return std::sqrt(2 * states_[static_cast<std::size_t>(i)].asymmetry); }

  /// Returns the unit Ritz vectors of these columns, [columns.size(), n].
  at::Tensor ritz_vectors(int64_t i, const RitzPairs& ritz, const RitzColumns& columns) const;

  /// Keeps only the problems at these positions, which must ascend. Moves them in place: a copy would double the
  /// memory.
  void keep(const ProblemIndices& places);

  /// Thick restart: replaces the basis of each problem by the Ritz vectors of its columns. All problems must list the
  /// same number of columns.
  void restart(const std::vector<RitzPairs>& pairs, const std::vector<RitzColumns>& columns);

 private:
  /// State of one problem in addition to its vectors.
  struct State {
    Eigen::MatrixXd projection;  ///< T
    Eigen::MatrixXd coupling;    ///< B, [next vectors, vectors of the last product]
    double largest_product = 0;  ///< the largest ||H q|| so far
    uint64_t next_stream = 0;
    Eigen::VectorXd expected;  ///< coefficients of the next product along the basis before it, if H is symmetric
    double asymmetry = 0;      ///< sum of the squared deviations from `expected`
    KrylovPolynomials polynomials{0};  ///< with one vector per product
  };

  at::Tensor fresh_direction(int64_t i, const at::Tensor& known);
  void take_first(int64_t width, uint64_t stream);
  void take_next(at::Tensor w, int64_t j, bool has_room);

  const LinearOperator& op_;
  int64_t block_width_;
  int64_t max_basis_;
  ProblemSeeds seeds_;
  ProblemIndices problems_;
  std::vector<State> states_;
  int64_t basis_size_ = 0;
  int64_t width_ = 0;
  at::Tensor basis_;  ///< [A, max_basis + b, n]; the next vectors follow the basis
};

}  // namespace hessian
