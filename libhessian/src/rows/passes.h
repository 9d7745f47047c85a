#pragma once

#include "rows/activation_rows.h"
#include "rows/norm_rows.h"
#include "rows/rope_rows.h"
#include "rows/softmax_rows.h"

// Every pass there is, for the files that compile them: `apply(Pass)` for each.
#define HESSIAN_FOR_EACH_PASS(apply, T) \
  apply(NormJvp<T>);                    \
  apply(NormVjpTangent<T>);             \
  apply(EntrywiseJvp<T>);               \
  apply(EntrywiseVjpTangent<T>);        \
  apply(GateJvp<T>);                    \
  apply(GateVjpTangent<T>);             \
  apply(SoftmaxJvp<T>);                 \
  apply(SoftmaxVjpTangent<T>);          \
  apply(RotatePairs<T>);
