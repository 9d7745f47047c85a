#pragma once

#include <ATen/ATen.h>

#include <Eigen/Core>
#include <cstdint>
#include <vector>

#include "hessian/problem_seeds.h"

namespace hessian {

/// Ritz values (ascending) of a problem, the coordinates of its Ritz vectors in the basis, and the norms ||Hv - lambda
/// v|| that the recurrence gives for them.
struct RitzPairs {
  Eigen::VectorXd values;
  Eigen::MatrixXd coordinates;
  Eigen::VectorXd residuals;

  double spectral_norm() const;
};

/// Columns of Ritz pairs, from 0.
using RitzColumns = std::vector<Eigen::Index>;

/// Block Krylov spaces of the problems that still iterate, as one batch.
///
/// With b vectors a product (b = 1: Lanczos), H V = V T + Q B E^T holds for each problem: V is the basis, Q the b vectors
/// that enter it next, orthonormal to it, E the last columns of the identity, and T the projection V^T H V, of which
/// only the lower triangle is kept. All coefficients come from full orthogonalisation, so that nothing changes when
/// Ritz vectors replace the basis (thick restart). Where H Q leaves the space no further (breakdown), a random vector
/// goes on, with a coupling of rounding size. Once the basis spans everything there is no next vector.
///
/// Memory: S n (max_basis + b) scalars, and while it takes a product, 4 S n b.
/// Source: Golub & Van Loan, Matrix Computations, 4th ed., sections 10.1 and 10.3.6; Wu & Simon (2000), Thick-restart
/// Lanczos method.
class KrylovBatch {
 public:
  /// \param width      number b of vectors a product
  /// \param max_basis  number of basis vectors held, at least b and at most n
  /// \param seeds      of the random vectors that go on after a breakdown
  /// \param stream     first of their streams (problem_generator); the start vectors are streams stream ... stream+b-1
  KrylovBatch(const LinearOperator& op, int64_t width, int64_t max_basis, ProblemSeeds seeds, uint64_t stream = 0);

  bool empty() const { return problems_.empty(); }
  int64_t size() const { return static_cast<int64_t>(problems_.size()); }
  int64_t basis_size() const { return basis_size_; }
  /// Number of vectors that the next product takes.
  int64_t width() const { return width_; }
  /// Whether the next vectors do not fit into the basis, or there are none.
  bool full() const { return width_ == 0 || basis_size_ + width_ > max_basis_; }
  int64_t problem(int64_t i) const { return problems_[static_cast<std::size_t>(i)]; }

  /// One product: takes the next vectors into the basis and finds those after them.
  void extend();

  /// \throws std::runtime_error  if the last product was not finite
  void require_finite() const;

  RitzPairs ritz_pairs(int64_t i) const;

  /// Whether H maps the problem's space to itself but for rounding.
  bool invariant(int64_t i, const RitzPairs& ritz) const;

  /// The same, told without Ritz values: whether the last product was a vector of the space but for rounding.
  bool exhausted(int64_t i) const;

  /// Unit Ritz vectors of the columns listed, [columns.size(), n].
  at::Tensor ritz_vectors(int64_t i, const RitzPairs& ritz, const RitzColumns& columns) const;

  /// Keeps only the problems at the places listed, which ascend. Moves them up where they are: a copy would take as much
  /// memory again.
  void keep(const ProblemIndices& places);

  /// Thick restart: the basis becomes the Ritz vectors of the columns listed for each problem, equally many.
  void restart(const std::vector<RitzPairs>& pairs, const std::vector<RitzColumns>& columns);

 private:
  /// What belongs to one of the problems beside its vectors.
  struct State {
    Eigen::MatrixXd projection;  ///< T
    Eigen::MatrixXd coupling;    ///< B, [next vectors, vectors of the last product]
    double largest_product = 0;  ///< the largest ||H q|| so far
    uint64_t next_stream = 0;
  };

  at::Tensor fresh_direction(int64_t i, const at::Tensor& known);
  void take_first(int64_t width, uint64_t stream);
  /// Makes what product j of the last ones has outside the basis, w [A, n], orthogonal to the next vectors found before
  /// it, and one of them if there is room.
  void take_next(at::Tensor w, int64_t j, bool has_room);

  const LinearOperator& op_;
  int64_t block_width_;
  int64_t max_basis_;
  ProblemSeeds seeds_;
  ProblemIndices problems_;
  std::vector<State> states_;
  int64_t basis_size_ = 0;
  int64_t width_ = 0;
  at::Tensor basis_;  ///< [A, max_basis + b, n]; the next vectors stand behind the basis
};

}  // namespace hessian
