// A custom operator: the one-dimensional Laplacian stencil (-1, 2, -1) with zero boundaries, on grids of two spacings.
// Its eigenvalues are known: 4 sin^2(k pi / (2 (n + 1))) / h^2, k = 1 ... n.

#include <cmath>
#include <cstdio>

#include "hessian/hessian.h"

namespace {

class Laplacian final : public hessian::LinearOperator {
 public:
  Laplacian(at::Tensor spacings, int64_t n) : spacings_(std::move(spacings)), n_(n) {}

  int64_t problems() const override { return spacings_.size(0); }
  int64_t dim() const override { return n_; }
  at::TensorOptions vector_options() const override { return spacings_.options(); }
  double eigenvalue(int64_t problem, int64_t k) const {
    const double sine = std::sin(static_cast<double>(k) * M_PI / (2.0 * static_cast<double>(n_ + 1)));
    return 4 * sine * sine / std::pow(spacings_[problem].item<double>(), 2);
  }

 private:
  /// v is [problems.size(), k, n]: row i belongs to problem problems[i], since solvers drop problems that have
  /// converged.
  at::Tensor do_apply(const at::Tensor& v, const hessian::ProblemIndices& problems) const override {
    at::Tensor product = 2 * v;
    product.narrow(2, 1, n_ - 1).sub_(v.narrow(2, 0, n_ - 1));
    product.narrow(2, 0, n_ - 1).sub_(v.narrow(2, 1, n_ - 1));
    return product / hessian::rows_of(spacings_, problems).square().view({-1, 1, 1});
  }

  at::Tensor spacings_;
  int64_t n_;
};

}  // namespace

int main() {
  constexpr int64_t n = 50;
  const Laplacian laplacian(at::tensor({1.0, 0.5}, at::kDouble), n);
  double error = 0;  // largest relative error

  const auto ends = hessian::lanczos(laplacian, {.tolerance = 1e-8});
  const auto top = hessian::top_eigenpairs(laplacian, {.count = 3, .tolerance = 1e-8, .ends = hessian::Ends::upper});
  for (int64_t problem = 0; problem < laplacian.problems(); ++problem) {
    const double norm = laplacian.eigenvalue(problem, n);
    std::printf("problem %ld: lambda_max %.8f (exact %.8f), lambda_min %.8f (exact %.8f)\n", static_cast<long>(problem),
                ends.lambda_max[problem].item<double>(), norm, ends.lambda_min[problem].item<double>(),
                laplacian.eigenvalue(problem, 1));
    error = std::fmax(error, std::abs(ends.lambda_max[problem].item<double>() - norm) / norm);
    error =
        std::fmax(error, std::abs(ends.lambda_min[problem].item<double>() - laplacian.eigenvalue(problem, 1)) / norm);
    for (int64_t i = 0; i < 3; ++i) {
      const double exact = laplacian.eigenvalue(problem, n - i);
      error = std::fmax(error, std::abs(top.values[problem][i].item<double>() - exact) / norm);
    }
  }
  std::printf("largest relative error %.1e\n", error);
  const bool converged = ends.converged.all().item<bool>() && top.converged.all().item<bool>();
  return converged && error < 1e-8 ? 0 : 1;
}
