#pragma once

#include <cstdint>

namespace hessian::rows {

/// Runs a pass over rows on the host, on LibTorch's threads and with the widest vector instructions of the processor.
template <class Pass>
void run_on_host(const Pass& pass, int64_t rows, int64_t elements_per_row);

}  // namespace hessian::rows
