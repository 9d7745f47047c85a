#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>

namespace hessian::fused {

/// Items cut into blocks that depend on nothing but their number and size. What is summed up within blocks, and then
/// over blocks in order, does not depend on the number of threads.
struct Blocks {
  int64_t items;
  int64_t items_per_block;

  /// Blocks of about 16384 elements, which stay in a core's cache and are worth waking a thread for.
  static Blocks of(int64_t items, int64_t elements_per_item) {
    return {items, std::max<int64_t>(1, 16384 / std::max<int64_t>(1, elements_per_item))};
  }

  int64_t count() const { return (items + items_per_block - 1) / items_per_block; }
  int64_t begin(int64_t block) const { return block * items_per_block; }
  int64_t end(int64_t block) const { return std::min(items, begin(block + 1)); }
};

/// Calls body(block) for each block, on LibTorch's threads.
void for_each_block(const Blocks& blocks, const std::function<void(int64_t block)>& body);

}  // namespace hessian::fused
