#pragma once

#include <cstdint>

#include "fused/vector_math.h"

// Loops over contiguous arrays in the host's memory, for T float, double and c10::BFloat16. Results do not depend on
// the number of threads. NaN and infinity in an input leave no finite result
// behind, but for a logit of minus infinity, which is a probability of zero.

namespace hessian::fused {

/// y[row] = gain * x[row] * inverse_rms[row], inverse_rms[row] = 1 / sqrt(mean(x[row]^2) + eps).
/// \param x, y  [rows, width]
template <class T>
void rms_norm_forward(const T* x, const Wide<T>* gain, double eps, int64_t rows, int64_t width, T* y,
                      Wide<T>* inverse_rms);

/// Gradients by x [rows, width] and gain [width] of what rms_norm_forward computes, given those by y.
template <class T>
void rms_norm_backward(const T* dy, const T* x, const Wide<T>* gain, const Wide<T>* inverse_rms, int64_t rows,
                       int64_t width, T* dx, Wide<T>* dgain);

/// y = silu(gate) * up, silu(g) = g / (1 + exp(-g)).
template <class T>
void silu_gate_forward(const T* gate, const T* up, int64_t size, T* y);

template <class T>
void silu_gate_backward(const T* dy, const T* gate, const T* up, int64_t size, T* dgate, T* dup);

/// loss[row] = -log softmax(logits[row])[targets[row]].
/// \param logits      [rows, classes]
/// \param normaliser  [rows, 2]: the largest logit m, and log sum exp(logit - m). Kept apart, since their sum would
/// lose the
///                    digits of the second where logits are large.
/// \throws std::out_of_range  for a target that is no class
template <class T>
void cross_entropy_forward(const T* logits, const int64_t* targets, int64_t rows, int64_t classes, Wide<T>* loss,
                           Wide<T>* normaliser);

/// dlogits[row] = (softmax(logits[row]) - onehot(targets[row])) * dloss[row / rows_per_loss] / rows_per_loss.
template <class T>
void cross_entropy_backward(const Wide<T>* dloss, const T* logits, const int64_t* targets, const Wide<T>* normaliser,
                            int64_t rows, int64_t classes, int64_t rows_per_loss, T* dlogits);

}  // namespace hessian::fused
