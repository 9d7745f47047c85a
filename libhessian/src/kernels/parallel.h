#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>

namespace hessian::fused {

/// Items divided into tiles that depend only on the number of items and their size. A sum that is taken within each
/// tile and then over the tiles in order therefore does not depend on the number of threads.
struct Tiles {
  int64_t items;
  int64_t items_per_tile;

  /// Returns tiles of about this number of elements, by default small enough for a core's cache and large enough to be worth
  /// a thread's start.
  static Tiles of(int64_t items, int64_t elements_per_item, int64_t elements_per_tile = 16384) {
    return {items, std::max<int64_t>(1, elements_per_tile / std::max<int64_t>(1, elements_per_item))};
  }

  int64_t count() const { return (items + items_per_tile - 1) / items_per_tile; }
  int64_t begin(int64_t tile) const { return tile * items_per_tile; }
  int64_t end(int64_t tile) const { return std::min(items, begin(tile + 1)); }
};

/// Calls body(tile) for each tile, on LibTorch's threads.
void for_each_tile(const Tiles& tiles, const std::function<void(int64_t tile)>& body);

}  // namespace hessian::fused
