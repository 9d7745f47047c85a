#include "hessian/spectra_solver.h"

#include <Spectra/SymEigsSolver.h>
#include <c10/core/GradMode.h>

#include <Eigen/Eigenvalues>
#include <algorithm>
#include <cmath>
#include <exception>
#include <limits>

#include "eigensolvers/extremal_pairs.h"

namespace hessian {
namespace {

/// Thrown by a product that is not finite: the only way to stop Spectra.
class NotFinite : public std::exception {};

/// H / scale + I for one problem of a LinearOperator, with the interface that Spectra expects of a matrix.
///
/// Scale and shift avoid three weaknesses of Spectra with small, singular and low-rank matrices: its thresholds are absolute,
/// a pair converges relative to its own eigenvalue, and once a Krylov space is exhausted it draws the next vector from the
/// range of the matrix.
class SpectraMatrix {
 public:
  using Scalar = double;
  SpectraMatrix(const LinearOperator& op, int64_t problem, double scale) : op_(&op), problem_(problem), scale_(scale) {}

  Eigen::Index rows() const { return op_->dim(); }
  Eigen::Index cols() const { return op_->dim(); }
  void perform_op(const double* x_in, double* y_out) const {
    const at::Tensor x = at::from_blob(const_cast<double*>(x_in), {1, 1, op_->dim()}, at::kDouble);
    const at::Tensor y = op_->apply(x.to(op_->vector_options()), {problem_}).to(at::kCPU, at::kDouble).contiguous();
    ++products_;
    if (!y.isfinite().all().item<bool>()) {
      throw NotFinite();
    }
    std::transform(y.data_ptr<double>(), y.data_ptr<double>() + op_->dim(), x_in, y_out,
                   [this](double product, double entry) { return product / scale_ + entry; });
  }
  int64_t products() const { return products_; }
  double eigenvalue(double spectra_value) const { return (spectra_value - 1) * scale_; }

 private:
  const LinearOperator* op_;
  int64_t problem_;
  double scale_;
  mutable int64_t products_ = 0;
};

at::Tensor to_tensor(const Eigen::VectorXd& vector, const at::TensorOptions& options) {
  return at::tensor(at::ArrayRef<double>(vector.data(), vector.size()), at::kDouble).to(options);
}

struct FoundEnds {
  double lambda_max = 0;
  double lambda_min = 0;
  Eigen::VectorXd vector_max;
  Eigen::VectorXd vector_min;
  int64_t products = 0;
};

/// Returns the ends of a problem whose products are not finite.
FoundEnds unknown_ends_of(const LinearOperator& op, int64_t products) {
  const double unknown = std::numeric_limits<double>::quiet_NaN();
  const Eigen::VectorXd vector = Eigen::VectorXd::Constant(op.dim(), unknown);
  return {unknown, unknown, vector, vector, products};
}

/// Solves a problem as a dense matrix: Spectra needs n > 2 and a basis larger than the number of pairs.
FoundEnds dense_ends(const LinearOperator& op, int64_t problem) {
  const int64_t n = op.dim();
  const at::Tensor columns =
      op.apply(at::eye(n, op.vector_options()).unsqueeze(0), {problem}).to(at::kCPU, at::kDouble).contiguous();
  const Eigen::Map<const Eigen::MatrixXd> matrix(columns.data_ptr<double>(), n, n);
  if (!matrix.allFinite()) {
    return unknown_ends_of(op, n);
  }
  const Eigen::SelfAdjointEigenSolver<Eigen::MatrixXd> solver(matrix);
  return {solver.eigenvalues()[n - 1], solver.eigenvalues()[0], solver.eigenvectors().col(n - 1),
          solver.eigenvectors().col(0), n};
}

/// Gives access to the ends of the last Krylov space, converged or not: SymEigsSolver returns only pairs that meet its own
/// criterion, while verify_residuals() measures how accurate they are.
class KrylovSolver : public Spectra::SymEigsSolver<SpectraMatrix> {
 public:
  using Spectra::SymEigsSolver<SpectraMatrix>::SymEigsSolver;

  FoundEnds ritz_ends() const {
    const Eigen::SelfAdjointEigenSolver<Eigen::MatrixXd> ritz(m_fac.matrix_H());
    const Eigen::Index last = ritz.eigenvalues().size() - 1;
    const auto vector = [&](Eigen::Index i) { return (m_fac.matrix_V() * ritz.eigenvectors().col(i)).normalized(); };
    return {ritz.eigenvalues()[last], ritz.eigenvalues()[0], vector(last), vector(0), 0};
  }
};

FoundEnds iterated_ends(const LinearOperator& op, int64_t problem, const LanczosOptions& options,
                        const at::Tensor& start) {
  const at::Tensor host_start = start.to(at::kCPU, at::kDouble).contiguous();
  const double image = op.apply(start.view({1, 1, -1}), {problem}).to(at::kDouble).norm().item<double>();
  if (!std::isfinite(image)) {
    return unknown_ends_of(op, 1);
  }
  if (image == 0) {  // the product with a random vector is zero: no iteration is possible
    const Eigen::VectorXd vector = Eigen::Map<const Eigen::VectorXd>(host_start.data_ptr<double>(), op.dim());
    return {0, 0, vector, vector, 1};
  }
  constexpr double shift = 3;
  SpectraMatrix matrix(op, problem, shift * image);
  const int64_t products = options.max_iterations - 2;  // one each for the scale and Spectra's start
  const int64_t basis = std::clamp<int64_t>(std::min(options.max_basis, products), 4, op.dim());
  KrylovSolver solver(matrix, 2, basis);
  // The first basis takes `basis` products, each restart at most basis - 2.
  const int64_t restarts = std::max<int64_t>(0, (products - basis) / (basis - 2));
  try {
    solver.init(host_start.data_ptr<double>());
    // Spectra's tolerance is relative to the shifted eigenvalues, which reach shift + 1 times the spectral norm.
    solver.compute(Spectra::SortRule::BothEnds, restarts, options.tolerance / (shift + 1),
                   Spectra::SortRule::LargestAlge);
  } catch (const NotFinite&) {
    return unknown_ends_of(op, matrix.products() + 1);
  }
  FoundEnds ends = solver.ritz_ends();
  ends.lambda_max = matrix.eigenvalue(ends.lambda_max);
  ends.lambda_min = matrix.eigenvalue(ends.lambda_min);
  ends.products = matrix.products() + 1;
  return ends;
}

}  // namespace

ExtremalEigenvalues spectra_extremes(const LinearOperator& op, const LanczosOptions& options) {
  check_eigensolver_arguments(op, options.tolerance, options.max_iterations, options.seeds());
  const c10::NoGradGuard no_grad;
  const at::Tensor starts = random_unit_vectors(op, options.seeds());
  ExtremalEigenvalues result = unknown_ends(op);
  for (int64_t problem = 0; problem < op.problems(); ++problem) {
    const FoundEnds ends =
        op.dim() < 4 ? dense_ends(op, problem) : iterated_ends(op, problem, options, starts[problem]);
    result.lambda_max[problem] = ends.lambda_max;
    result.lambda_min[problem] = ends.lambda_min;
    result.vector_max[problem].copy_(to_tensor(ends.vector_max, op.vector_options()));
    result.vector_min[problem].copy_(to_tensor(ends.vector_min, op.vector_options()));
    result.iterations[problem] = static_cast<int32_t>(ends.products);
  }
  verify_residuals(op, options.ends, options.tolerance, result.spectral_norm(), result);
  return result;
}

}  // namespace hessian
