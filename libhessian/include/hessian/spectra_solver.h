#pragma once

#include "hessian/lanczos.h"

namespace hessian {

/// Computes the extremal eigenvalues with Spectra's implicitly restarted Lanczos method, one problem after the other, with
/// vectors on the host in float64: an independent solver for checking lanczos().
///
/// \param options  as for lanczos(); the basis holds max_basis vectors
/// \return         as lanczos(); `iterations` counts products
/// \throws std::invalid_argument  if the operator is empty or an option is out of range
/// Cost: one product of one vector per iteration; problems are not batched.
/// Source: Spectra 1.0 (spectralib.org), class SymEigsSolver; Sorensen (1992), Implicit application of polynomial
/// filters.
ExtremalEigenvalues spectra_extremes(const LinearOperator& op, const LanczosOptions& options = {});

}  // namespace hessian
