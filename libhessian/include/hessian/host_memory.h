#pragma once

namespace hessian {

/// Tells the C library to keep the memory of freed tensors for the next ones, where it would give back each block above
/// 128 KiB to the system and take it again page by page, zeroed. For programs, at their start; does nothing where the C
/// library is not GNU's.
void keep_freed_memory();

}  // namespace hessian
