#pragma once

#include <cstdint>

#include "probe/subject.h"

namespace hessian::experiments {

/// Checks Hessian-vector products of the first sequence: in float64 against central differences of the gradient, and in the
/// probe's precision against those in float64.
class ProductCheck {
 public:
  /// Copies the model to float64 and runs it on the first sequence.
  ProductCheck(const ProbeSubject& subject, const std::vector<int64_t>& layers, Engine engine, uint64_t seed);

  /// Returns the differences at a site, for one random direction.
  /// \param subject   the subject in the probe's precision
  /// \param residual  its residual before the layer, [S, T, dim]
  ProductDifferences differences(models::Site site, int64_t layer, const ProbeSubject& subject,
                                 const at::Tensor& residual) const;

 private:
  ProbeSubject wide_;
  ForwardRecord record_;
  Engine engine_;
  uint64_t seed_;
};

}  // namespace hessian::experiments
