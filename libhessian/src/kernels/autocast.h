#pragma once

#include <ATen/autocast_mode.h>

namespace hessian {

/// Enables autocast for its lifetime if `products` is bfloat16: matrix products and attention round their operands and
/// compute in that type; norms, softmax and sums stay in the type of their operands.
class AutocastScope {
 public:
  AutocastScope(at::DeviceType device, at::ScalarType products)
      : device_(device), was_enabled_(at::autocast::is_autocast_enabled(device)) {
    at::autocast::increment_nesting();
    if (products == at::kBFloat16) {
      at::autocast::set_autocast_dtype(device_, products);
      at::autocast::set_autocast_enabled(device_, true);
    }
  }
  ~AutocastScope() {
    at::autocast::set_autocast_enabled(device_, was_enabled_);
    if (at::autocast::decrement_nesting() == 0) {
      at::autocast::clear_cache();  // drops the rounded weights of this step
    }
  }
  AutocastScope(const AutocastScope&) = delete;
  AutocastScope& operator=(const AutocastScope&) = delete;

 private:
  at::DeviceType device_;
  bool was_enabled_;
};

}  // namespace hessian
