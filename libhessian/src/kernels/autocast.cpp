#include "kernels/autocast.h"

#include <ATen/autocast_mode.h>

namespace hessian {

AutocastScope::AutocastScope(c10::DeviceType device, c10::ScalarType products)
    : device_(device), was_enabled_(at::autocast::is_autocast_enabled(device)) {
  at::autocast::increment_nesting();
  if (products == c10::kBFloat16) {
    at::autocast::set_autocast_dtype(device_, products);
    at::autocast::set_autocast_enabled(device_, true);
  }
}

AutocastScope::~AutocastScope() {
  at::autocast::set_autocast_enabled(device_, was_enabled_);
  if (at::autocast::decrement_nesting() == 0) {
    at::autocast::clear_cache();  // drops the rounded weights of this step
  }
}

}  // namespace hessian
