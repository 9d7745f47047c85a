#pragma once

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>

#include <cstdint>
#include <numeric>
#include <string>
#include <utility>
#include <vector>

#include "hessian/linear_operator.h"

namespace hessian::support {

/// Draws random numbers and tensors that depend only on the seed. Tests print their seed with SCOPED_TRACE.
class Random {
 public:
  explicit Random(uint64_t seed) : generator_(at::detail::createCPUGenerator(seed + 1)) {}

  at::Tensor normal(at::IntArrayRef shape, at::ScalarType dtype = at::kDouble) {
    return at::randn(shape, generator_, at::dtype(at::kDouble)).to(dtype);
  }
  /// Draws integers in [low, high).
  at::Tensor integers(int64_t low, int64_t high, at::IntArrayRef shape) {
    return at::randint(low, high, shape, generator_, at::dtype(at::kLong));
  }
  /// Draws an integer in [low, high], including both ends.
  int64_t integer(int64_t low, int64_t high) { return integers(low, high + 1, {1}).item<int64_t>(); }

  /// Draws symmetric matrices with normally distributed entries, [problems, n, n].
  at::Tensor symmetric(int64_t problems, int64_t n) {
    const at::Tensor a = normal({problems, n, n});
    return (a + a.transpose(1, 2)) / 2;
  }
  /// Draws symmetric matrices with the given eigenvalues, [S, n], and random eigenvectors.
  at::Tensor with_spectrum(const at::Tensor& eigenvalues) {
    const auto [q, r] = at::linalg_qr(normal({eigenvalues.size(0), eigenvalues.size(1), eigenvalues.size(1)}));
    const at::Tensor a = at::matmul(q * eigenvalues.to(at::kDouble).unsqueeze(1), q.transpose(1, 2));
    return (a + a.transpose(1, 2)) / 2;
  }

 private:
  at::Generator generator_;
};

struct Spectrum {
  std::string name;
  at::Tensor values;  ///< [n]
};

/// Returns easy and awkward spectra of n eigenvalues.
std::vector<Spectrum> spectra_of_size(int64_t n, Random& random);

/// Returns first, first + 1, ..., e.g. as numbers of problems.
inline std::vector<int64_t> numbers_from(int64_t first, int64_t count) {
  std::vector<int64_t> numbers(static_cast<std::size_t>(count));
  std::iota(numbers.begin(), numbers.end(), first);
  return numbers;
}

/// Computes the ascending eigenvalues of symmetric matrices [S, n, n] by Eigen's dense solver, [S, n].
at::Tensor dense_eigenvalues(const at::Tensor& matrices);

/// Forwards products to another operator and records the vectors, and the problems that they are for.
class RecordingOperator final : public hessian::LinearOperator {
 public:
  explicit RecordingOperator(const hessian::LinearOperator& op) : op_(op) {}

  int64_t problems() const override { return op_.problems(); }
  int64_t dim() const override { return op_.dim(); }
  at::TensorOptions vector_options() const override { return op_.vector_options(); }

  /// The problems of each call of apply(), in order.
  const std::vector<hessian::ProblemIndices>& calls() const { return calls_; }
  /// The vectors of each call, [problems, k, n].
  const std::vector<at::Tensor>& vectors() const { return vectors_; }
  /// Returns the number of vectors multiplied with a problem.
  int64_t products(int64_t problem) const { return products_[static_cast<std::size_t>(problem)]; }

 private:
  at::Tensor do_apply(const at::Tensor& v, const hessian::ProblemIndices& problems) const override {
    calls_.push_back(problems);
    vectors_.push_back(v.clone());
    for (const int64_t problem : problems) {
      products_[static_cast<std::size_t>(problem)] += v.size(1);
    }
    return op_.apply(v, problems);
  }

  const hessian::LinearOperator& op_;
  mutable std::vector<hessian::ProblemIndices> calls_;
  mutable std::vector<at::Tensor> vectors_;
  mutable std::vector<int64_t> products_ = std::vector<int64_t>(static_cast<std::size_t>(op_.problems()), 0);
};

inline double largest(const at::Tensor& a) {
  return a.abs().max().to(at::kDouble).item<double>();
}

}  // namespace hessian::support
