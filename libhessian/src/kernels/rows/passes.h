#pragma once

#include "kernels/rows/activation_rows.h"
#include "kernels/rows/cross_entropy_rows.h"
#include "kernels/rows/gate_rows.h"
#include "kernels/rows/gated_norm_rows.h"
#include "kernels/rows/norm_rows.h"
#include "kernels/rows/rms_norm_rows.h"
#include "kernels/rows/rope_rows.h"
#include "kernels/rows/softmax_rows.h"

// Lists of all passes, for the files that instantiate them: each expands to `apply(Pass);` for every pass.

// Passes over tangents, for float and double.
#define HESSIAN_FOR_EACH_TANGENT_PASS(apply, T) \
  apply(NormJvp<T>);                            \
  apply(NormVjpTangent<T>);                     \
  apply(EntrywiseJvp<T>);                       \
  apply(EntrywiseVjpTangent<T>);                \
  apply(GateJvp<T>);                            \
  apply(GateVjpTangent<T>);                     \
  apply(SoftmaxJvp<T>);                         \
  apply(SoftmaxVjpTangent<T>);                  \
  apply(CappedSoftmaxJvp<T>);                   \
  apply(CappedSoftmaxVjpTangent<T>);            \
  apply(CappedLogitsTangent<T>);

// Passes of training, forward and backward, also for bfloat16.
#define HESSIAN_FOR_EACH_TRAINING_PASS(apply, T) \
  apply(RmsNormForward<T>);                      \
  apply(RmsNormBackward<T>);                     \
  apply(GatedNormForward<T>);                    \
  apply(GatedNormBackward<T>);                   \
  apply(SiluGateForward<T>);                     \
  apply(SiluGateBackward<T>);                    \
  apply(ExactGeluGateForward<T>);                \
  apply(ExactGeluGateBackward<T>);               \
  apply(TanhGeluGateForward<T>);                 \
  apply(TanhGeluGateBackward<T>);                \
  apply(CrossEntropyForward<T>);                 \
  apply(CrossEntropyBackward<T>);                \
  apply(RotatePairs<T>);

#define HESSIAN_TANGENT_PASSES(apply)         \
  HESSIAN_FOR_EACH_TANGENT_PASS(apply, float) \
  HESSIAN_FOR_EACH_TANGENT_PASS(apply, double)

#define HESSIAN_TRAINING_PASSES(apply)          \
  HESSIAN_FOR_EACH_TRAINING_PASS(apply, float)  \
  HESSIAN_FOR_EACH_TRAINING_PASS(apply, double) \
  HESSIAN_FOR_EACH_TRAINING_PASS(apply, c10::BFloat16)
