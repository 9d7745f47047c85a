#include "hessian/host_memory.h"

#if defined(__GLIBC__)
#include <malloc.h>
#endif

namespace hessian {

void keep_freed_memory() {
#if defined(__GLIBC__)
  constexpr int max_mmap_threshold = 32 * 1024 * 1024;  // glibc accepts no larger one
  constexpr int kept_bytes = 1024 * 1024 * 1024;
  mallopt(M_MMAP_THRESHOLD, max_mmap_threshold);
  mallopt(M_TRIM_THRESHOLD, kept_bytes);
#endif
}

}  // namespace hessian
