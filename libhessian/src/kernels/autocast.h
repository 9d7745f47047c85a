#pragma once

#include <c10/core/DeviceType.h>
#include <c10/core/ScalarType.h>

namespace hessian {

/// Enables autocast for its lifetime if `products` is bfloat16: matrix products and attention round their operands and
/// compute in that type; norms, softmax and sums stay in the type of their operands.
class AutocastScope {
 public:
  AutocastScope(c10::DeviceType device, c10::ScalarType products);
  ~AutocastScope();
  AutocastScope(const AutocastScope&) = delete;
  AutocastScope& operator=(const AutocastScope&) = delete;

 private:
  c10::DeviceType device_;
  bool was_enabled_;
};

}  // namespace hessian
