#pragma once

#include <ATen/autocast_mode.h>

namespace hessian {

/// While it lives, matrix products and attention compute in a narrower type and their operands are rounded on the way
/// in; norms, softmax and sums stay as they are. Nothing is changed where the type is that of the parameters.
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
      at::autocast::clear_cache();  // rounded weights of this step
    }
  }
  AutocastScope(const AutocastScope&) = delete;
  AutocastScope& operator=(const AutocastScope&) = delete;

 private:
  at::DeviceType device_;
  bool was_enabled_;
};

}  // namespace hessian
