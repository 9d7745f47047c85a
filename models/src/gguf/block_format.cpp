#include "gguf/block_format.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>

namespace hessian::models {
namespace {

/// The bits of a half-precision number as float32, exactly.
float half_at(const std::byte* bytes) {
  std::uint16_t half = 0;
  std::memcpy(&half, bytes, sizeof(half));
  const std::uint32_t sign = (half & 0x8000U) << 16U;
  const std::uint32_t magnitude = half & 0x7fffU;
  constexpr std::uint32_t infinity = 0x7c00;
  if (magnitude >= infinity) {
    return std::bit_cast<float>(sign | 0x7f800000U | (magnitude - infinity) << 13U);
  }
  // The exponent's bias is 112 larger in float32. The product is exact also for subnormal numbers.
  const float value = std::bit_cast<float>(magnitude << 13U) * 0x1p112F;
  return std::bit_cast<float>(std::bit_cast<std::uint32_t>(value) | sign);
}

/// Copies bytes into an array. The compiler cannot vectorise loops over bytes in a buffer, which the values might
/// overlap.
template <typename Number, std::size_t count>
std::array<Number, count> copy_of(const std::byte* bytes) {
  std::array<Number, count> numbers;
  std::memcpy(numbers.data(), bytes, count);
  return numbers;
}

int low(std::uint8_t byte) {
  return byte & 0xf;
}

int high(std::uint8_t byte) {
  return byte >> 4;
}

// Blocks of 32 values: scale d, in some formats minimum m, in some a fifth bit per value, numbers q. Of two values that
// share a byte, the one in the lower bits belongs to the first half of the block.
constexpr unsigned small = 32;
constexpr unsigned half_block = small / 2;

/// d q
void decode_q8_0(const std::byte* block, float* values) {
  const float d = half_at(block);
  const auto q = copy_of<std::int8_t, small>(block + 2);
  for (unsigned i = 0; i < small; ++i) {
    values[i] = d * static_cast<float>(q[i]);
  }
}

/// d (q - 8)
void decode_q4_0(const std::byte* block, float* values) {
  const float d = half_at(block);
  const auto q = copy_of<std::uint8_t, half_block>(block + 2);
  for (unsigned i = 0; i < half_block; ++i) {
    values[i] = d * static_cast<float>(low(q[i]) - 8);
    values[i + half_block] = d * static_cast<float>(high(q[i]) - 8);
  }
}

/// d q + m
void decode_q4_1(const std::byte* block, float* values) {
  const float d = half_at(block);
  const float m = half_at(block + 2);
  const auto q = copy_of<std::uint8_t, half_block>(block + 4);
  for (unsigned i = 0; i < half_block; ++i) {
    values[i] = d * static_cast<float>(low(q[i])) + m;
    values[i + half_block] = d * static_cast<float>(high(q[i])) + m;
  }
}

/// Calls visit(i, q) for the numbers of five bits: the fifth bits of all values, then the others.
template <typename Visit>
void for_five_bits(const std::byte* numbers, const Visit& visit) {
  std::uint32_t fifth = 0;
  std::memcpy(&fifth, numbers, sizeof(fifth));
  const auto q = copy_of<std::uint8_t, half_block>(numbers + sizeof(fifth));
  for (unsigned i = 0; i < half_block; ++i) {
    visit(i, low(q[i]) | static_cast<int>(fifth >> i & 1U) << 4);
    visit(i + half_block, high(q[i]) | static_cast<int>(fifth >> (i + half_block) & 1U) << 4);
  }
}

/// d (q - 16)
void decode_q5_0(const std::byte* block, float* values) {
  const float d = half_at(block);
  for_five_bits(block + 2, [&](unsigned i, int q) { values[i] = d * static_cast<float>(q - 16); });
}

/// d q + m
void decode_q5_1(const std::byte* block, float* values) {
  const float d = half_at(block);
  const float m = half_at(block + 2);
  for_five_bits(block + 4, [&](unsigned i, int q) { values[i] = d * static_cast<float>(q) + m; });
}

// Blocks of 256 values, divided into groups that have scales of six or eight bits.
constexpr unsigned large = 256;
constexpr unsigned groups = 8;  // of 32 values, in Q4_K and Q5_K

/// Reads the scale and the minimum of a group, six bits each. The first four groups have theirs in the lower six bits
/// of bytes 0 to 3 and 4 to 7, whose upper two bits belong to the other groups, with four bits in bytes 8 to 11.
struct GroupScale {
  GroupScale(const std::array<std::uint8_t, 12>& packed, unsigned group) {
    if (group < 4) {
      scale = packed[group] & 0x3f;
      minimum = packed[group + 4] & 0x3f;
    } else {
      scale = low(packed[group + 4]) | packed[group - 4] >> 6 << 4;
      minimum = high(packed[group + 4]) | packed[group] >> 6 << 4;
    }
  }
  int scale;
  int minimum;
};

/// d scale q - dmin minimum. Two groups share 32 bytes of numbers.
void decode_q4_k(const std::byte* block, float* values) {
  const float d = half_at(block);
  const float dmin = half_at(block + 2);
  const auto packed = copy_of<std::uint8_t, 12>(block + 4);
  const std::byte* numbers = block + 16;
  for (unsigned group = 0; group < groups; group += 2) {
    const auto q = copy_of<std::uint8_t, small>(numbers);
    const GroupScale first(packed, group);
    const GroupScale second(packed, group + 1);
    const float d1 = d * static_cast<float>(first.scale);
    const float m1 = dmin * static_cast<float>(first.minimum);
    const float d2 = d * static_cast<float>(second.scale);
    const float m2 = dmin * static_cast<float>(second.minimum);
    for (unsigned i = 0; i < small; ++i) {
      values[i] = d1 * static_cast<float>(low(q[i])) - m1;
      values[i + small] = d2 * static_cast<float>(high(q[i])) - m2;
    }
    numbers += small;
    values += 2 * small;
  }
}

/// d scale q - dmin minimum. Bit g of byte i of the fifth bits belongs to value i of group g.
void decode_q5_k(const std::byte* block, float* values) {
  const float d = half_at(block);
  const float dmin = half_at(block + 2);
  const auto packed = copy_of<std::uint8_t, 12>(block + 4);
  const auto fifth = copy_of<std::uint8_t, small>(block + 16);
  const std::byte* numbers = block + 48;
  for (unsigned group = 0; group < groups; group += 2) {
    const auto q = copy_of<std::uint8_t, small>(numbers);
    const GroupScale first(packed, group);
    const GroupScale second(packed, group + 1);
    const float d1 = d * static_cast<float>(first.scale);
    const float m1 = dmin * static_cast<float>(first.minimum);
    const float d2 = d * static_cast<float>(second.scale);
    const float m2 = dmin * static_cast<float>(second.minimum);
    for (unsigned i = 0; i < small; ++i) {
      values[i] = d1 * static_cast<float>(low(q[i]) | (fifth[i] >> group & 1) << 4) - m1;
      values[i + small] = d2 * static_cast<float>(high(q[i]) | (fifth[i] >> (group + 1) & 1) << 4) - m2;
    }
    numbers += small;
    values += 2 * small;
  }
}

/// d scale (q - 32), with a signed scale for every 16 values. Each half of the block has 64 bytes with the lower four
/// bits of its numbers and 32 with the upper two: byte i of the latter belongs to values i, i + 32, i + 64 and i + 96.
void decode_q6_k(const std::byte* block, float* values) {
  const auto scales = copy_of<std::int8_t, 16>(block + 192);
  const float d = half_at(block + 208);
  for (unsigned half = 0; half < 2; ++half) {
    const auto lower = copy_of<std::uint8_t, 2 * small>(block + 64 * half);
    const auto upper = copy_of<std::uint8_t, small>(block + 128 + 32 * half);
    for (unsigned quarter = 0; quarter < 4; ++quarter) {
      const unsigned source = quarter % 2 * small;
      const unsigned lower_shift = quarter / 2 * 4;
      const unsigned upper_shift = 2 * quarter;
      for (unsigned run = 0; run < 2; ++run) {
        const float scale = d * static_cast<float>(scales[8 * half + 2 * quarter + run]);
        const unsigned begin = run * half_block;
        for (unsigned i = 0; i < half_block; ++i) {
          const int q = (lower[source + begin + i] >> lower_shift & 0xf) | (upper[begin + i] >> upper_shift & 3) << 4;
          values[i] = scale * static_cast<float>(q - 32);
        }
        values += half_block;
      }
    }
  }
}

template <auto decode_block, unsigned values_per_block, unsigned bytes_per_block>
void decode_all(const std::byte* blocks, std::size_t count, float* values) {
  for (std::size_t i = 0; i < count; ++i) {
    decode_block(blocks + i * bytes_per_block, values + i * values_per_block);
  }
}

constexpr BlockFormat plain(std::uint32_t number, const char* name, unsigned bytes, StoredType type) {
  return {number, name, 1, bytes, type, nullptr};
}

template <auto decode_block, unsigned values, unsigned bytes>
constexpr BlockFormat quantised(std::uint32_t number, const char* name) {
  return {number, name, values, bytes, std::nullopt, decode_all<decode_block, values, bytes>};
}

/// A format whose tensors can be in a file, but not be used.
constexpr BlockFormat unsupported(std::uint32_t number, const char* name, unsigned values, unsigned bytes) {
  return {number, name, values, bytes, std::nullopt, nullptr};
}

constexpr std::array formats = {
    plain(0, "F32", 4, StoredType::f32),
    plain(1, "F16", 2, StoredType::f16),
    plain(30, "BF16", 2, StoredType::bf16),
    plain(28, "F64", 8, StoredType::f64),
    plain(24, "I8", 1, StoredType::i8),
    plain(25, "I16", 2, StoredType::i16),
    plain(26, "I32", 4, StoredType::i32),
    plain(27, "I64", 8, StoredType::i64),
    quantised<decode_q4_0, small, 18>(2, "Q4_0"),
    quantised<decode_q4_1, small, 20>(3, "Q4_1"),
    quantised<decode_q5_0, small, 22>(6, "Q5_0"),
    quantised<decode_q5_1, small, 24>(7, "Q5_1"),
    quantised<decode_q8_0, small, 34>(8, "Q8_0"),
    quantised<decode_q4_k, large, 144>(12, "Q4_K"),
    quantised<decode_q5_k, large, 176>(13, "Q5_K"),
    quantised<decode_q6_k, large, 210>(14, "Q6_K"),
    unsupported(10, "Q2_K", large, 84),
    unsupported(11, "Q3_K", large, 110),
    unsupported(16, "IQ2_XXS", large, 66),
    unsupported(17, "IQ2_XS", large, 74),
    unsupported(18, "IQ3_XXS", large, 98),
    unsupported(19, "IQ1_S", large, 50),
    unsupported(20, "IQ4_NL", small, 18),
    unsupported(21, "IQ3_S", large, 110),
    unsupported(22, "IQ2_S", large, 82),
    unsupported(23, "IQ4_XS", large, 136),
    unsupported(29, "IQ1_M", large, 56),
    unsupported(34, "TQ1_0", large, 54),
    unsupported(35, "TQ2_0", large, 66),
    unsupported(39, "MXFP4", small, 17),
    unsupported(40, "NVFP4", 64, 36),
};

}  // namespace

const BlockFormat* find_block_format(std::uint32_t number) {
  const auto* const found = std::ranges::find(formats, number, &BlockFormat::number);
  return found == formats.end() ? nullptr : found;
}

std::string supported_block_formats() {
  std::string names;
  for (const BlockFormat& format : formats) {
    if (format.is_supported()) {
      names += names.empty() ? format.name : std::string(", ") + format.name;
    }
  }
  return names;
}

}  // namespace hessian::models
