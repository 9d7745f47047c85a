#include "kernels/parallel.h"

#include <ATen/Parallel.h>

namespace hessian::fused {

void for_each_tile(const Tiles& tiles, const std::function<void(int64_t tile)>& body) {
  at::parallel_for(0, tiles.count(), 1, [&](int64_t begin, int64_t end) {
    for (int64_t tile = begin; tile < end; ++tile) {
      body(tile);
    }
  });
}

}  // namespace hessian::fused
