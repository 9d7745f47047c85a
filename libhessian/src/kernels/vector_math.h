#pragma once

#include <c10/util/BFloat16.h>

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <type_traits>

// Marks a function that is always inlined: on the host, and on the device if nvcc compiles it.
#if defined(__CUDACC__)
#define HESSIAN_ROW_FUNCTION __host__ __device__ __forceinline__
#else
#define HESSIAN_ROW_FUNCTION [[gnu::always_inline]] inline
#endif

// Building blocks of the loops of the fused primitives. Everything here must be inlined into the caller, which chooses
// the instruction set: see with_widest_vectors.

namespace hessian::fused {

#if defined(__x86_64__) && defined(__GNUC__)
// Run the body, compiled for AVX2 or AVX-512. GCC would use half of the width of AVX-512's registers by default.
template <class Body>
__attribute__((target("arch=x86-64-v3"))) void with_avx2(const Body& body) {
  body();
}
#ifdef __clang__
template <class Body>
__attribute__((target("arch=x86-64-v4"))) void with_avx512(const Body& body) {
  body();
}
#else
template <class Body>
__attribute__((target("arch=x86-64-v4,prefer-vector-width=512"))) void with_avx512(const Body& body) {
  body();
}
#endif

/// Runs loops with the widest vector instructions of the processor, independently of the build's target.
/// \param body  a lambda marked __attribute__((always_inline)) that calls only inlined functions
template <class Body>
void with_widest_vectors(const Body& body) {
  static const bool has_avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                                 __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") &&
                                 __builtin_cpu_supports("avx512vl");
  static const bool has_avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  if (has_avx512) {
    with_avx512(body);
  } else if (has_avx2) {
    with_avx2(body);
  } else {
    body();
  }
}
#else
template <class Body>
void with_widest_vectors(const Body& body) {
  body();
}
#endif

/// The type in which sums over elements of type T are taken.
template <class T>
struct WideType {
  using type = T;
};
template <>
struct WideType<c10::BFloat16> {
  using type = float;
};
template <class T>
using Wide = typename WideType<T>::type;

template <class T>
HESSIAN_ROW_FUNCTION T widen(T x) {
  return x;
}
HESSIAN_ROW_FUNCTION float widen(c10::BFloat16 x) {
  return std::bit_cast<float>(static_cast<uint32_t>(x.x) << 16);
}

/// Rounds to nearest, ties to even; NaN stays NaN.
template <class T>
HESSIAN_ROW_FUNCTION T narrow(Wide<T> x) {
  if constexpr (std::is_same_v<T, c10::BFloat16>) {
    const auto bits = std::bit_cast<uint32_t>(x);
    const uint32_t rounded = (bits + 0x7fff + ((bits >> 16) & 1)) >> 16;
    return {static_cast<uint16_t>(x != x ? 0x7fc0 : rounded), c10::BFloat16::from_bits()};
  } else {
    return x;
  }
}

template <class T>
struct ExpConstants;

template <>
struct ExpConstants<float> {
  using Bits = uint32_t;
  static constexpr int mantissa = 23, degree = 7;
  static constexpr float shift = 0x1.8p23F, ln2_high = 0x1.63p-1F, ln2_low = -0x1.bd0106p-13F;
  static constexpr float lowest = -87.33F, highest = 88.37F;
};

template <>
struct ExpConstants<double> {
  using Bits = uint64_t;
  static constexpr int mantissa = 52, degree = 13;
  static constexpr double shift = 0x1.8p52, ln2_high = 0x1.62e42fee00000p-1, ln2_low = 0x1.a39ef35793c76p-33;
  static constexpr double lowest = -708.39, highest = 709.4;
};

/// The numbers 1 / i! for i = 0, 1, ...
template <class T>
constexpr auto inverse_factorials = [] {
  std::array<T, ExpConstants<T>::degree + 1> values{};
  double factorial = 1;
  for (std::size_t i = 0; i < values.size(); ++i) {
    factorial *= i == 0 ? 1.0 : static_cast<double>(i);
    values[i] = static_cast<T>(1 / factorial);
  }
  return values;
}();

/// Computes e^x to about one rounding unit: e^(k ln 2 + r) = 2^k e^r with |r| <= ln(2) / 2, and e^r by its series. It has
/// no branches, so that loops become vector code. NaN gives NaN, a result that would be subnormal is 0, and one that would
/// overflow is the largest e^x that does not. On a device, this is CUDA's function.
/// Source: Cody & Waite, Software Manual for the Elementary Functions (1980), chapter 6.
#if defined(__CUDA_ARCH__)
template <class T>
__device__ __forceinline__ T exponential(T x) {
  return ::exp(x);
}
#else
template <class T>
HESSIAN_ROW_FUNCTION T exponential(T x) {
  using C = ExpConstants<T>;
  const T bounded = x > C::highest ? C::highest : x;
  // Adding 1.5 * 2^mantissa rounds to an integer and moves it to the low bits.
  const T shifted = bounded * static_cast<T>(1.4426950408889634) + C::shift;
  const T k = shifted - C::shift;
  const T r = (bounded - k * C::ln2_high) - k * C::ln2_low;
  T series = inverse_factorials<T>[C::degree];
  for (std::size_t i = C::degree; i-- > 0;) {
    series = series * r + inverse_factorials<T>[i];
  }
  using Bits = typename C::Bits;
  const T power = std::bit_cast<T>((std::bit_cast<Bits>(shifted) << C::mantissa) + std::bit_cast<Bits>(T{1}));
  return x < C::lowest ? T{0} : series * power;
}
#endif

/// The standard normal distribution at one point.
template <class T>
struct Normal {
  T distribution;  ///< integral of the density up to the point
  T density;
};

template <class T>
struct ErfcConstants;

// Coefficients of t^0, t^1, ... in (1 + 2 z) exp(z^2) erfc(z), t = (z - centre) / (z + centre), from a Chebyshev expansion
// over all z for which exp(-z^2) is not zero. The errors are below 4 rounding units.
template <>
struct ErfcConstants<float> {
  static constexpr float centre = 3;
  static constexpr std::array<float, 9> coefficients = {
      1.2530081F,    -0.13562171F,   -0.0475666385F, 0.129659261F,  -0.119201456F,
      0.0682526407F, -0.0241770672F, 0.00237155033F, 0.00259879171F};
};

template <>
struct ErfcConstants<double> {
  static constexpr double centre = 4;
  static constexpr std::array<double, 23> coefficients = {
      1.2329951186255526,     -0.13962111684056283,    0.015379652102620794,   0.06809705425473153,
      -0.10103906603635912,   0.09373283499697178,     -0.06633036581127866,   0.037167515560058546,
      -0.016197734063084238,  0.005031969773359876,    -0.0007577733080721363, -0.0001992555762254659,
      0.0001506220824017943,  -2.440303260990908e-05,  -1.1224325509992834e-05, 5.717824927337373e-06,
      3.00583600308293e-07,   -8.354213804606054e-07,  6.33532763290876e-08,   1.1582500308707637e-07,
      -7.873281789768829e-09, -1.3923069459395562e-08, -1.888661748103476e-09};
};

/// Computes both with one exponential and no branches: the tail beyond |x| = sqrt(2) z is erfc(z) / 2. On a device, these
/// are CUDA's functions.
/// Source: Shepherd & Laframboise, Mathematics of Computation 36 (1981), for the form of the approximation.
#if defined(__CUDA_ARCH__)
template <class T>
__device__ __forceinline__ Normal<T> normal_distribution(T x) {
  return {T(0.5) * ::erfc(x * T(-0.70710678118654752)), T(0.39894228040143268) * ::exp(T(-0.5) * x * x)};
}
#else
template <class T>
HESSIAN_ROW_FUNCTION Normal<T> normal_distribution(T x) {
  using C = ErfcConstants<T>;
  const T z = (x < 0 ? -x : x) * static_cast<T>(0.70710678118654752);
  const T t = (z - C::centre) / (z + C::centre);
  T series = C::coefficients.back();
  for (std::size_t i = C::coefficients.size() - 1; i-- > 0;) {
    series = series * t + C::coefficients[i];
  }
  const T bell = exponential(static_cast<T>(-0.5) * x * x);
  const T tail = static_cast<T>(0.5) * bell * series / (1 + 2 * z);
  return {x < 0 ? tail : 1 - tail, static_cast<T>(0.39894228040143268) * bell};
}
#endif

}  // namespace hessian::fused
