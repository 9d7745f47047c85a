#include "random_problems.h"

#include <Eigen/Eigenvalues>

namespace hessian::support {

std::vector<Spectrum> spectra_of_size(int64_t n, Random& random) {
  const at::Tensor normal = random.normal({n});
  at::Tensor rank_one = at::zeros({n}, at::kDouble);
  rank_one[0] = -3.0;
  at::Tensor clustered = normal * 1e-4 + 1;
  clustered.narrow(0, 0, (n + 1) / 2).sub_(2.5);
  return {{"indefinite", normal},
          {"positive", normal.abs() + 0.5},
          {"negative", -normal.abs() - 0.5},
          {"clustered", clustered},
          {"repeated", at::where(normal > 0, at::full_like(normal, 2.0), at::full_like(normal, -1.0))},
          {"rank one", rank_one},
          {"identity", at::full({n}, 1.5, at::kDouble)},
          {"zero", at::zeros({n}, at::kDouble)},
          {"tiny", normal * 1e-12},
          {"many magnitudes", at::pow(10.0, -8 * normal.abs()) * normal.sign()}};
}

at::Tensor dense_eigenvalues(const at::Tensor& matrices) {
  const at::Tensor host = matrices.to(at::kDouble).contiguous();
  const int64_t n = host.size(1);
  at::Tensor values = at::empty({host.size(0), n}, at::kDouble);
  for (int64_t s = 0; s < host.size(0); ++s) {
    const Eigen::Map<const Eigen::MatrixXd> matrix(host[s].data_ptr<double>(), n, n);
    Eigen::Map<Eigen::VectorXd>(values[s].data_ptr<double>(), n) =
        Eigen::SelfAdjointEigenSolver<Eigen::MatrixXd>(matrix, Eigen::EigenvaluesOnly).eigenvalues();
  }
  return values;
}

}  // namespace hessian::support
