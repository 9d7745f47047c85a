#include "hessian/host_memory.h"

#if defined(__GLIBC__)
#include <malloc.h>
#endif

namespace hessian {

void keep_freed_memory() {
#if defined(__GLIBC__)
  constexpr int largest_threshold = 32 * 1024 * 1024;  // that glibc takes
  constexpr int kept = 1024 * 1024 * 1024;
  mallopt(M_MMAP_THRESHOLD, largest_threshold);
  mallopt(M_TRIM_THRESHOLD, kept);
#endif
}

}  // namespace hessian
