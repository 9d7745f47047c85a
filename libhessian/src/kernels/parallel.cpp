#include "kernels/parallel.h"

#include <ATen/Parallel.h>

namespace hessian::fused {

void for_each_block(const Blocks& blocks, const std::function<void(int64_t block)>& body) {
  at::parallel_for(0, blocks.count(), 1, [&](int64_t begin, int64_t end) {
    for (int64_t block = begin; block < end; ++block) {
      body(block);
    }
  });
}

}  // namespace hessian::fused
