#include "hessian/largest_eigenpair.h"

#include <stdexcept>
#include <string>

#include "hessian/lanczos.h"

namespace hessian {

Eigenpair largest_eigenpair(const LinearOperator& op, const EigenpairOptions& options) {
  if (op.problems() != 1) {
    throw std::invalid_argument("largest_eigenpair() expects an operator of one problem, this one has " +
                                std::to_string(op.problems()) + "; lanczos() solves several");
  }
  if (options.ends == Ends::both) {
    throw std::invalid_argument("largest_eigenpair() finds one end: dominant, upper or lower; lanczos() finds both");
  }
  const ExtremalEigenvalues ends = lanczos(op, {.tolerance = options.tolerance,
                                                .ends = options.ends,
                                                .certificate = options.certificate,
                                                .max_iterations = options.max_iterations,
                                                .max_basis = options.max_basis,
                                                .seed = options.seed});
  const bool upper = ends.lambda_min.isnan().item<bool>();
  Eigenpair pair;
  pair.value = (upper ? ends.lambda_max : ends.lambda_min).item<double>();
  pair.vector = (upper ? ends.vector_max : ends.vector_min)[0];
  pair.residual_norm = ends.residual_norm().item<double>();
  const at::Tensor bound = options.ends == Ends::dominant ? ends.norm_upper()
                           : options.ends == Ends::upper  ? ends.lambda_max_upper
                                                          : ends.lambda_min_lower;
  pair.bound = bound.item<double>();
  pair.converged = ends.converged.item<bool>();
  pair.iterations = ends.iterations.item<int32_t>();
  return pair;
}

}  // namespace hessian
