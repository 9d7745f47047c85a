#pragma once

#include <ATen/ATen.h>

#include <cstdint>
#include <string>

#include "hessian/operator_algebra.h"
#include "hessian/parameters.h"

namespace hessian::experiments {

/// Adam's preconditioner: the diagonal matrix P and the factor c by which gradients were clipped. The matrix whose largest
/// eigenvalue decides whether Adam is stable is c P^-1/2 H P^-1/2 on the coordinates that updates have moved.
/// Source: docs/math.md, "Adam with clipped gradients".
struct Preconditioner {
  /// Diagonal of P by parameter; infinite where the second moment is zero, because no gradient has reached that coordinate
  /// and no update has moved it. Empty if there is no preconditioner.
  Parameters diagonals;
  double clip_factor = 1;  ///< c

  bool empty() const { return diagonals.size() == 0; }
};

/// Returns Adam's preconditioner from the optimizer's state in a training checkpoint.
/// \throws std::runtime_error  if the checkpoint lacks Adam's state, or is from before the first update
Preconditioner adam_preconditioner(const std::string& checkpoint);

/// The coordinates of a vector of parameters that updates have moved, and the diagonal of c^1/2 P^-1/2 there.
struct MovedCoordinates {
  at::Tensor indices;    ///< [m] int64, ascending
  at::Tensor scale;      ///< [m]
  int64_t left_out = 0;  ///< number of all other coordinates
};

/// Returns the moved coordinates of the vector that concatenates the entries of these parameters.
/// \param parameters  some or all of those that the preconditioner has
MovedCoordinates moved_coordinates(const Preconditioner& preconditioner, const Parameters& parameters);

/// Returns c P^-1/2 H P^-1/2 on the moved coordinates. Precondition: there are some.
OperatorPtr preconditioned(OperatorPtr op, const MovedCoordinates& moved);

}  // namespace hessian::experiments
