#include "hessian/hutchinson_samples.h"

#include <c10/core/GradMode.h>

#include <optional>

#include "estimators/samples.h"

namespace hessian {
namespace {

/// Mean of vectors, entry by entry, with its standard error. Accumulates squares about the running mean (Welford 1962),
/// because storing all vectors would take too much memory.
class RunningMean {
 public:
  /// \param zero  the shape, precision and device of the vectors
  explicit RunningMean(const at::Tensor& zero) : mean_(at::zeros_like(zero)), squares_(at::zeros_like(zero)) {}

  void add(const at::Tensor& vector) {
    count_ += 1;
    const at::Tensor before = vector - mean_;
    mean_.add_(before, 1.0 / count_);
    squares_.addcmul_(before, vector - mean_);
  }

  Estimate estimate() const { return {mean_.to(at::kCPU), (squares_ / (count_ * (count_ - 1))).sqrt().to(at::kCPU)}; }

 private:
  double count_ = 0;
  at::Tensor mean_;
  at::Tensor squares_;
};

}  // namespace

HutchinsonSamples hutchinson_samples(const LinearOperator& op, const SampleOptions& options, bool with_diagonal) {
  check_sample_arguments(op, options.samples, options.seeds());
  const c10::NoGradGuard no_grad;
  HutchinsonSamples samples{at::empty({op.problems(), options.samples}, at::kDouble),
                            at::empty({op.problems(), options.samples}, at::kDouble)};
  std::optional<RunningMean> diagonal;
  if (with_diagonal) {
    diagonal.emplace(at::empty({op.problems(), op.dim()}, op.vector_options().dtype(at::kDouble)));
  }
  FiniteProducts products(op);
  for (int64_t sample = 0; sample < options.samples; ++sample) {
    const at::Tensor z = sample_signs(op, options.seeds(), sample);
    const at::Tensor product = products(z);
    samples.quadratic.select(1, sample).copy_(dots(z, product));
    samples.squared_norm.select(1, sample).copy_(dots(product, product));
    if (diagonal) {
      diagonal->add((z * product).to(at::kDouble));
    }
  }
  if (diagonal) {
    samples.diagonal = diagonal->estimate();
  }
  return samples;
}

}  // namespace hessian
