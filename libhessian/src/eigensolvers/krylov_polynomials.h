#pragma once

#include <Eigen/Core>
#include <cstdint>
#include <vector>

namespace hessian {

/// The vectors of a Krylov space as polynomials in H of a random start vector q, v_j = p_j(H) q, from which follows which
/// eigenvalues the space cannot have missed.
///
/// With gamma the component of q along a unit eigenvector of the eigenvalue t, v_j has the component p_j(t) gamma. The v_j are
/// orthonormal, hence gamma^2 K(t) <= 1 with K(t) = sum_j p_j(t)^2: a start vector that hides the eigenvalue t from the space
/// has an unusually small component. How small is unlikely follows from the distribution of q alone, whatever H is; see
/// docs/math.md, "Certified norms".
///
/// When the space of a start vector is exhausted, the iteration continues with another random vector, orthogonal to that
/// space. An eigenvalue stays hidden only if all start vectors hide it.
/// Source: Szego, Orthogonal Polynomials, section 3.1 (the extremal property); van Dorsselaer, Hochstenbach & van der Vorst
/// (2000), Computing probabilistic bounds for extreme eigenvalues of symmetric matrices with the Lanczos method.
class KrylovPolynomials {
 public:
  explicit KrylovPolynomials(int64_t dim) : dim_(dim) {}

  /// Records the product of the latest vector: H v_j = sum_i coefficients[i] v_i + coupling v_next.
  /// \param coefficients  of the vectors so far, v_j included
  /// \param coupling      positive, at least of the size of the rounding errors
  void add_product(const Eigen::VectorXd& coefficients, double coupling);

  /// Records that the next vector is not a polynomial of the start vector, but a new random vector orthogonal to the others.
  void add_start();

  /// Records a restart, which replaces the basis, but not the next vector, by the columns of basis * rotation.
  void add_restart(const Eigen::MatrixXd& rotation);

  /// Returns the probability of start vectors which hide an eigenvalue of t or, for t above (below) all Ritz values so far,
  /// any eigenvalue of at least (at most) t.
  double risk_outside(double t) const;

  /// Returns the probability of start vectors which hide an eigenvalue between a and b, two points between consecutive
  /// Ritz values. The polynomial of the next vector has its roots at the Ritz values, so the logarithm of its magnitude
  /// is concave between them, and the magnitude smallest at a or b.
  double risk_between(double a, double b) const;

 private:
  /// A product, a new start or a restart.
  struct Step {
    enum class Kind { product, start, restart } kind;
    Eigen::VectorXd coefficients;
    double coupling = 1;
    Eigen::MatrixXd rotation;
  };
  /// Values of the polynomials of one start vector at a point.
  struct Values {
    double sum_of_squares = 0;  ///< K, the largest of all restarts
    double next = 0;            ///< the polynomial of the next vector
  };
  std::vector<Values> evaluate(double t) const;
  double risk(const std::vector<double>& reciprocals) const;

  int64_t dim_;
  std::vector<Step> steps_;
  std::vector<int64_t> start_dims_;  ///< dimensions in which the further start vectors are random
  int64_t basis_size_ = 0;
};

}  // namespace hessian
