#pragma once

#include <cstdint>

#include "probe/subject.h"

namespace hessian::experiments {

/// Compares Hessian-vector products with central differences of the gradient, in float64 and on the first sequence.
class ProductCheck {
 public:
  /// Copies the model to float64 and runs it on the first sequence.
  ProductCheck(const ProbeSubject& subject, const std::vector<int64_t>& layers, Engine engine, uint64_t seed);

  /// Returns the relative difference of the two products at a site, for one random direction.
  double relative_difference(models::Site site, int64_t layer) const;

 private:
  ProbeSubject subject_;
  ForwardRecord record_;
  Engine engine_;
  uint64_t seed_;
};

}  // namespace hessian::experiments
