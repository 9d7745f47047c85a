#pragma once

namespace hessian {

/// Makes the GNU C library reuse the memory of freed tensors. By default it returns allocations above 128 KiB to the
/// system, and every new tensor pays for fresh, zeroed pages. Call once when the program starts. Does nothing with
/// other C libraries.
void keep_freed_memory();

}  // namespace hessian
