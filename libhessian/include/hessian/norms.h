#pragma once

#include "hessian/hutchinson_samples.h"

namespace hessian {

/// Estimates the Frobenius norms ||H||_F of S operators: the root of the mean of ||H z||^2 over random signs z.
///
/// The mean is unbiased for ||H||_F^2; its root is biased low by about half its relative variance. The standard error
/// is that of the mean times the derivative of the root (delta method).
/// \return  [S], in the units of H; NaN for a problem whose products are not finite
/// \throws std::invalid_argument  if the operator is empty or there are fewer than 2 samples
/// Cost: one product per sample, none if samples are given; memory 4 S n scalars.
/// Source: Martinsson & Tropp (2020), Randomized numerical linear algebra, section 4.8, with A = H^T H.
Estimate frobenius_norm(const LinearOperator& op, const SampleOptions& options = {});
Estimate frobenius_norm(const HutchinsonSamples& samples);

/// Estimates the participation ratios (tr H)^2 / tr H^2 of S symmetric operators: the number of equal eigenvalues that would
/// have this trace and norm. For semidefinite H it lies between 1 and the rank; for indefinite H, positive and negative
/// eigenvalues cancel in the trace, and the ratio may be close to 0.
///
/// Both traces are estimated from the same random signs, tr H from z^T H z and tr H^2 from ||H z||^2; the standard error
/// follows from their covariance (delta method). The relative bias of the ratio is about its relative variance.
/// \return  [S]; NaN for H = 0 and for a problem whose products are not finite
/// \throws std::invalid_argument  if the operator is empty or there are fewer than 2 samples
/// Cost: one product per sample, none if samples are given; memory 4 S n scalars.
/// Source: Bell & Dean (1970) for the ratio; Casella & Berger, Statistical Inference, 2nd ed., section 5.5.4 for the
/// error.
Estimate participation_ratio(const LinearOperator& op, const SampleOptions& options = {});
Estimate participation_ratio(const HutchinsonSamples& samples);

/// Returns, [S] bool, whether the samples determine the participation ratio: whether the estimated trace differs from zero by
/// at least 2 of its standard errors. Otherwise the ratio, whose relative error is twice that of the trace, may be anything
/// from zero to several times its estimate.
at::Tensor participation_is_determined(const HutchinsonSamples& samples);

}  // namespace hessian
