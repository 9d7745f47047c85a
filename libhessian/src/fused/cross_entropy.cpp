#include <cmath>
#include <limits>
#include <stdexcept>
#include <string>

#include "fused/kernels.h"
#include "fused/parallel.h"

// loss = m + log sum_i exp(z_i - m) - z_t with m = max z, and dloss/dz_i = exp(z_i - m - log sum) - [i = t].
// Blanchard, Higham & Higham (2021), "Accurately computing the log-sum-exp and softmax functions", IMA J. Numer.
// Anal. 41.

namespace hessian::fused {
namespace {

template <class T>
struct Normaliser {
  T largest;
  T log_sum;
};

template <class T>
[[gnu::always_inline]] inline Normaliser<Wide<T>> normaliser_of(const T* logits, int64_t classes) {
  Wide<T> largest = -std::numeric_limits<Wide<T>>::infinity();
#pragma omp simd reduction(max : largest)
  for (int64_t i = 0; i < classes; ++i) {
    largest = widen(logits[i]) > largest ? widen(logits[i]) : largest;
  }
  Wide<T> sum = 0;
#pragma omp simd reduction(+ : sum)
  for (int64_t i = 0; i < classes; ++i) {
    sum += exponential(widen(logits[i]) - largest);
  }
  return {largest, std::log(sum)};
}

template <class T>
[[gnu::always_inline]] inline void backward_row(const T* logits, int64_t target, Normaliser<Wide<T>> normaliser,
                                                Wide<T> scale, int64_t classes, T* dlogits) {
  const auto gradient = [=](Wide<T> logit, Wide<T> one) __attribute__((always_inline)) {
    return narrow<T>((exponential(logit - normaliser.largest - normaliser.log_sum) - one) * scale);
  };
#pragma omp simd
  for (int64_t i = 0; i < classes; ++i) {
    dlogits[i] = gradient(widen(logits[i]), 0);
  }
  dlogits[target] = gradient(widen(logits[target]), 1);
}

void check(int64_t target, int64_t classes) {
  if (target < 0 || target >= classes) {
    throw std::out_of_range("target " + std::to_string(target) + " is none of the " + std::to_string(classes) +
                            " classes");
  }
}

}  // namespace

template <class T>
void cross_entropy_forward(const T* logits, const int64_t* targets, int64_t rows, int64_t classes, Wide<T>* loss,
                           Wide<T>* normaliser) {
  const Blocks blocks = Blocks::of(rows, classes);
  for_each_block(blocks, [&](int64_t block) {
    for (int64_t row = blocks.begin(block); row < blocks.end(block); ++row) {
      check(targets[row], classes);
    }
    with_widest_vectors([&]() __attribute__((always_inline)) {
      for (int64_t row = blocks.begin(block); row < blocks.end(block); ++row) {
        const auto [largest, log_sum] = normaliser_of(logits + row * classes, classes);
        normaliser[2 * row] = largest;
        normaliser[2 * row + 1] = log_sum;
        loss[row] = log_sum - (widen(logits[row * classes + targets[row]]) - largest);
      }
    });
  });
}

template <class T>
void cross_entropy_backward(const Wide<T>* dloss, const T* logits, const int64_t* targets, const Wide<T>* normaliser,
                            int64_t rows, int64_t classes, int64_t rows_per_loss, T* dlogits) {
  const Blocks blocks = Blocks::of(rows, classes);
  for_each_block(blocks, [&](int64_t block) {
    with_widest_vectors([&]() __attribute__((always_inline)) {
      for (int64_t row = blocks.begin(block); row < blocks.end(block); ++row) {
        const Wide<T> scale = dloss[row / rows_per_loss] / static_cast<Wide<T>>(rows_per_loss);
        backward_row(logits + row * classes, targets[row], {normaliser[2 * row], normaliser[2 * row + 1]}, scale,
                     classes, dlogits + row * classes);
      }
    });
  });
}

template void cross_entropy_forward(const float*, const int64_t*, int64_t, int64_t, float*, float*);
template void cross_entropy_forward(const double*, const int64_t*, int64_t, int64_t, double*, double*);
template void cross_entropy_forward(const c10::BFloat16*, const int64_t*, int64_t, int64_t, float*, float*);
template void cross_entropy_backward(const float*, const float*, const int64_t*, const float*, int64_t, int64_t,
                                     int64_t, float*);
template void cross_entropy_backward(const double*, const double*, const int64_t*, const double*, int64_t, int64_t,
                                     int64_t, double*);
template void cross_entropy_backward(const float*, const c10::BFloat16*, const int64_t*, const float*, int64_t, int64_t,
                                     int64_t, c10::BFloat16*);

}  // namespace hessian::fused
