#include "hessian/spectra_solver.h"

#include <c10/core/GradMode.h>

#include <Spectra/SymEigsSolver.h>

#include <Eigen/Eigenvalues>
#include <algorithm>

#include "hessian/dense_operator.h"

namespace hessian {
namespace {

/// One block of a LinearOperator in the form that Spectra asks for.
class SpectraBlock {
 public:
  using Scalar = double;
  SpectraBlock(const LinearOperator& op, int64_t block) : op_(&op), block_(block) {}

  Eigen::Index rows() const { return op_->dim(); }
  Eigen::Index cols() const { return op_->dim(); }
  void perform_op(const double* x_in, double* y_out) const {
    const at::Tensor x = at::from_blob(const_cast<double*>(x_in), {1, 1, op_->dim()}, at::kDouble);
    const at::Tensor y = op_->apply(x.to(op_->vector_options()), {block_}).to(at::kCPU, at::kDouble).contiguous();
    std::copy_n(y.data_ptr<double>(), op_->dim(), y_out);
    ++products_;
  }
  int64_t products() const { return products_; }

 private:
  const LinearOperator* op_;
  int64_t block_;
  mutable int64_t products_ = 0;
};

at::Tensor to_tensor(const Eigen::VectorXd& vector, const at::TensorOptions& options) {
  return at::tensor(at::ArrayRef<double>(vector.data(), vector.size()), at::kDouble).to(options);
}

struct Ends {
  double lambda_max = 0;
  double lambda_min = 0;
  Eigen::VectorXd vector_max;
  Eigen::VectorXd vector_min;
  int64_t products = 0;
};

/// Spectra needs n > 2 and a basis beyond the pairs asked for: smaller blocks are solved densely.
Ends dense_ends(const LinearOperator& op, int64_t block) {
  const int64_t n = op.dim();
  const at::Tensor columns =
      op.apply(at::eye(n, op.vector_options()).unsqueeze(0), {block}).to(at::kCPU, at::kDouble).contiguous();
  const Eigen::Map<const Eigen::MatrixXd> matrix(columns.data_ptr<double>(), n, n);
  const Eigen::SelfAdjointEigenSolver<Eigen::MatrixXd> solver(matrix);
  return {solver.eigenvalues()[n - 1], solver.eigenvalues()[0], solver.eigenvectors().col(n - 1),
          solver.eigenvectors().col(0), n};
}

Ends iterated_ends(const LinearOperator& op, int64_t block, const LanczosOptions& options, const at::Tensor& start) {
  SpectraBlock matrix(op, block);
  const int64_t basis = std::clamp<int64_t>(options.max_basis, 4, op.dim());
  Spectra::SymEigsSolver<SpectraBlock> solver(matrix, 2, basis);
  const at::Tensor host_start = start.to(at::kCPU, at::kDouble).contiguous();
  solver.init(host_start.data_ptr<double>());
  const int64_t restarts = std::max<int64_t>(1, options.max_iterations / std::max<int64_t>(1, basis - 2));
  solver.compute(Spectra::SortRule::BothEnds, restarts, options.tolerance, Spectra::SortRule::LargestAlge);
  Ends ends;
  ends.products = matrix.products();
  if (solver.eigenvalues().size() == 2) {
    ends = {solver.eigenvalues()[0], solver.eigenvalues()[1], solver.eigenvectors().col(0),
            solver.eigenvectors().col(1), matrix.products()};
  } else {
    // Spectra hands out converged pairs only. The start vector's Rayleigh quotient, with its residual, is the honest
    // rest.
    const at::Tensor product = op.apply(start.view({1, 1, -1}), {block}).view(-1);
    ends.lambda_max = ends.lambda_min = at::dot(start, product).item<double>();
    ends.vector_max = ends.vector_min =
        Eigen::Map<const Eigen::VectorXd>(host_start.data_ptr<double>(), host_start.numel());
  }
  return ends;
}

}  // namespace

ExtremalEigenvalues spectra_extremes(const LinearOperator& op, const LanczosOptions& options) {
  check_eigensolver_arguments(op, options);
  const c10::NoGradGuard no_grad;
  const at::Tensor starts = start_vectors(op, options);
  ExtremalEigenvalues result;
  result.lambda_max = at::zeros({op.blocks()}, at::kDouble);
  result.lambda_min = at::zeros({op.blocks()}, at::kDouble);
  result.iterations = at::zeros({op.blocks()}, at::kInt);
  result.vector_max = at::zeros({op.blocks(), op.dim()}, op.vector_options());
  result.vector_min = at::zeros({op.blocks(), op.dim()}, op.vector_options());
  for (int64_t block = 0; block < op.blocks(); ++block) {
    const Ends ends = op.dim() < 4 ? dense_ends(op, block) : iterated_ends(op, block, options, starts[block]);
    result.lambda_max[block] = ends.lambda_max;
    result.lambda_min[block] = ends.lambda_min;
    result.vector_max[block].copy_(to_tensor(ends.vector_max, op.vector_options()));
    result.vector_min[block].copy_(to_tensor(ends.vector_min, op.vector_options()));
    result.iterations[block] = static_cast<int32_t>(ends.products);
  }
  verify_residuals(op, options.tolerance, result);
  return result;
}

}  // namespace hessian
