#pragma once

#include "hessian/lanczos.h"

namespace hessian {

/// Both ends of the spectrum by Spectra's implicitly restarted Lanczos method, one problem after the other, with vectors
/// on the host in float64: an independent solver to hold lanczos() against.
///
/// \param options  as for lanczos(); the basis holds max_basis vectors
/// \return         as lanczos(); `iterations` counts products
/// \throws std::invalid_argument  if the operator is empty or an option is out of range
/// Cost: one product of one vector an iteration, S times those of the slowest problem.
/// Source: Spectra 1.0 (spectralib.org), class SymEigsSolver; Sorensen (1992), Implicit application of polynomial
/// filters.
ExtremalEigenvalues spectra_extremes(const LinearOperator& op, const LanczosOptions& options = {});

}  // namespace hessian
