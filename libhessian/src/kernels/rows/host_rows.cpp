#include "kernels/rows/host_rows.h"

#include "kernels/parallel.h"
#include "kernels/rows/passes.h"

namespace hessian::rows {

template <class Pass>
void run_on_host(const Pass& pass, int64_t rows, int64_t elements_per_row) {
  const auto tiles = fused::Tiles::of(rows, elements_per_row);
  fused::for_each_tile(tiles, [&](int64_t tile) {
    fused::with_widest_vectors([&]() __attribute__((always_inline)) {
      for (int64_t row = tiles.begin(tile); row < tiles.end(tile); ++row) {
        pass(OneLane{}, row);
      }
    });
  });
}

#define HESSIAN_INSTANTIATE(Pass) template void run_on_host(const Pass&, int64_t, int64_t)
HESSIAN_TANGENT_PASSES(HESSIAN_INSTANTIATE)
HESSIAN_TRAINING_PASSES(HESSIAN_INSTANTIATE)

}  // namespace hessian::rows
