#pragma once

#include <string>

#include "hessian/parameters.h"

namespace hessian::experiments {

/// Returns Adam's preconditioner P per parameter (see Optimizer::preconditioner) from the optimizer's state in a
/// training checkpoint.
/// \throws std::runtime_error  if the checkpoint lacks Adam's state, or is from before the first update
Parameters adam_preconditioner(const std::string& checkpoint);

}  // namespace hessian::experiments
