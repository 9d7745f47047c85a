#pragma once

#include "hessian/estimate.h"

namespace hessian {

/// Frobenius norms ||H||_F of S operators, the root of the mean of ||H z||^2 over random signs z.
///
/// The mean is unbiased for ||H||_F^2; its root is low by about half its relative variance. The standard error is the
/// mean's, by the derivative of the root (delta method).
/// \return  [S], in the units of H
/// \throws std::invalid_argument  if the operator is empty or there are fewer than 2 samples
/// \throws std::runtime_error     if a product is not finite
/// Cost: a product a sample; memory 3 S n scalars.
/// Source: Martinsson & Tropp (2020), Randomized numerical linear algebra, section 4.8, with A = H^T H.
Estimate frobenius_norm(const LinearOperator& op, const SampleOptions& options = {});

/// Participation ratios (tr H)^2 / tr H^2 of S symmetric operators: the number of equal eigenvalues that would have
/// this trace and norm, between 1 and the rank for a semidefinite H. Where H is indefinite, positive and negative
/// eigenvalues cancel in the trace and it may come to nothing.
///
/// Both traces come from the same random signs, tr H from z^T H z and tr H^2 from ||H z||^2; the standard error follows
/// from their covariance by the delta method. A ratio of means is biased by about its variance over its value.
/// \return  [S]; not a number for H = 0
/// \throws std::invalid_argument  if the operator is empty or there are fewer than 2 samples
/// \throws std::runtime_error     if a product is not finite
/// Cost: a product a sample; memory 3 S n scalars.
/// Source: Bell & Dean (1970) for the ratio; Casella & Berger, Statistical Inference, 2nd ed., section 5.5.4 for the
/// error.
Estimate participation_ratio(const LinearOperator& op, const SampleOptions& options = {});

}  // namespace hessian
