#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <cstdint>
#include <string>
#include <vector>

#include "fixtures.h"
#include "formats/gguf_tensors.h"
#include "formats/mapped_tensor.h"
#include "formats/safetensors.h"
#include "gguf/block_format.h"
#include "gguf_support.h"
#include "refusal.h"

using hessian::support::fixture_path;
using hessian::support::little_endian;

namespace hessian::tests {
namespace {

/// Half-precision numbers by their bits.
constexpr std::uint16_t one = 0x3c00;
constexpr std::uint16_t minus_half = 0xb800;
constexpr std::uint16_t quarter = 0x3400;

std::string half(std::uint16_t bits) {
  return little_endian(bits);
}

std::vector<float> values_of(std::uint32_t number, const std::string& block) {
  const models::BlockFormat& format = *models::find_block_format(number);
  EXPECT_EQ(block.size(), format.bytes) << format.name;
  std::vector<float> values(format.values);
  models::dequantise(format, support::as_bytes(block), values);
  return values;
}

/// Loads the fixture's tensors.
Parameters load_blocks(bool deferred) {
  const auto file = models::MappedFile::open(fixture_path("formats/gguf_blocks/blocks.gguf"));
  const auto header = models::parse_gguf(file->bytes(), file->path());
  models::GgufParameters parameters(file, deferred);
  for (const auto& tensor : header.tensors) {
    parameters.add(tensor.name, tensor);
  }
  return parameters.take();
}

// The blocks are random bytes with scales of both signs, some subnormal. The values are those of
// gguf.quants.dequantize, rounded in the same places: they have to be equal.
TEST(GgufBlocks, HaveTheValuesOfThePackageGguf) {
  const Parameters expected =
      models::load_safetensors(fixture_path("formats/gguf_blocks/expected.safetensors")).tensors;
  const Parameters loaded = load_blocks(/*deferred=*/false);
  const Parameters deferred = load_blocks(/*deferred=*/true);
  ASSERT_EQ(loaded.size(), 11U);
  ASSERT_EQ(expected.size(), 11U);
  for (const auto& [name, tensor] : loaded) {
    EXPECT_TRUE(tensor.to(at::kFloat).equal(expected.at(name).to(at::kFloat))) << name;
    const bool is_plain = name == "F32" || name == "F16" || name == "BF16";
    EXPECT_EQ(models::mapped_range(tensor).file != nullptr, is_plain) << name << ": plain types are views of the file";
    EXPECT_EQ(deferred.is_deferred(name), !is_plain) << name;
    EXPECT_TRUE(deferred.fetched({name}).at(name).equal(tensor)) << name;
    const at::Tensor ids = at::tensor({2, 0, 2, 1}, at::kLong).view({2, 2});
    EXPECT_TRUE(deferred.rows(name, ids).equal(at::embedding(tensor, ids))) << name;
  }
  EXPECT_THROW(deferred.rows("Q4_0", at::tensor({3}, at::kLong)), c10::IndexError);
}

TEST(GgufBlocks, OfQ4HaveTheLowBitsInTheFirstHalf) {
  std::string numbers(16, '\x88');
  numbers[0] = '\xf0';  // value 0 is 0, value 16 is 15
  numbers[3] = '\x29';  // value 3 is 9, value 19 is 2
  const auto symmetric = values_of(2, half(minus_half) + numbers);
  EXPECT_EQ(symmetric[0], 4.0F);
  EXPECT_EQ(symmetric[16], -3.5F);
  EXPECT_EQ(symmetric[3], -0.5F);
  EXPECT_EQ(symmetric[19], 3.0F);
  EXPECT_EQ(symmetric[1], 0.0F);
  const auto affine = values_of(3, half(minus_half) + half(quarter) + numbers);
  EXPECT_EQ(affine[0], 0.25F);
  EXPECT_EQ(affine[16], -7.25F);
  EXPECT_EQ(affine[3], -4.25F);
  EXPECT_EQ(affine[19], -0.75F);
}

TEST(GgufBlocks, OfQ5TakeTheFifthBitsFromOneNumber) {
  const std::uint32_t fifth = 1U << 0 | 1U << 19 | 1U << 31;
  std::string numbers(16, '\0');
  numbers[15] = '\xf1';
  const auto symmetric = values_of(6, half(minus_half) + little_endian(fifth) + numbers);
  const auto affine = values_of(7, half(minus_half) + half(quarter) + little_endian(fifth) + numbers);
  for (std::size_t i = 0; i < 32; ++i) {
    const int q = i == 0 || i == 19 ? 16 : i == 31 ? 31 : i == 15 ? 1 : 0;
    EXPECT_EQ(symmetric[i], -0.5F * static_cast<float>(q - 16)) << i;
    EXPECT_EQ(affine[i], -0.5F * static_cast<float>(q) + 0.25F) << i;
  }
}

TEST(GgufBlocks, OfQ8AreSignedBytes) {
  std::string numbers(32, '\0');
  numbers[0] = '\x80';
  numbers[31] = '\x7f';
  const auto values = values_of(8, half(minus_half) + numbers);
  EXPECT_EQ(values[0], 64.0F);
  EXPECT_EQ(values[31], -63.5F);
  EXPECT_EQ(values[1], 0.0F);
}

/// Packs eight pairs of six bits into twelve bytes. The lower six bits of the first eight bytes are four scales, then
/// four minima; the upper two bits of each are the upper two bits of a scale or minimum of the other four groups, whose
/// lower four bits are the last four bytes.
std::string packed_scales(const std::array<int, 8>& scales, const std::array<int, 8>& minima) {
  std::string bytes;
  for (const auto* numbers : {&scales, &minima}) {
    for (std::size_t i = 0; i < 4; ++i) {
      bytes += static_cast<char>((*numbers)[i] + 64 * ((*numbers)[i + 4] / 16));
    }
  }
  for (std::size_t i = 4; i < 8; ++i) {
    bytes += static_cast<char>(scales[i] % 16 + 16 * (minima[i] % 16));
  }
  return bytes;
}

constexpr std::array<int, 8> scales = {0, 63, 5, 32, 1, 62, 17, 48};
constexpr std::array<int, 8> minima = {63, 1, 40, 7, 16, 33, 0, 59};

/// Returns the number of value `index`, which is different from those of its neighbours.
int number_of(std::size_t index, int bits) {
  return static_cast<int>((index * 7 + index / 32 * 3) % (std::size_t{1} << static_cast<unsigned>(bits)));
}

TEST(GgufBlocks, OfQ4KAndQ5KHaveSixBitScalesAndMinima) {
  for (const int bits : {4, 5}) {
    std::string lower(128, '\0');
    std::string fifth(32, '\0');
    for (std::size_t i = 0; i < 256; ++i) {
      const std::size_t group = i / 32;
      const int q = number_of(i, bits);
      lower[group / 2 * 32 + i % 32] |= static_cast<char>(q % 16 << (group % 2 == 0 ? 0 : 4));
      fifth[i % 32] |= static_cast<char>(q / 16 << group);
    }
    const std::string head = half(minus_half) + half(quarter) + packed_scales(scales, minima);
    const auto values = bits == 4 ? values_of(12, head + lower) : values_of(13, head + fifth + lower);
    for (std::size_t i = 0; i < 256; ++i) {
      const double expected = -0.5 * scales[i / 32] * number_of(i, bits) - 0.25 * minima[i / 32];
      EXPECT_EQ(values[i], static_cast<float>(expected)) << bits << " bits, value " << i;
    }
  }
}

TEST(GgufBlocks, OfQ6KHaveSignedScales) {
  std::string lower(128, '\0');
  std::string upper(64, '\0');
  std::string signed_scales;
  for (int run = 0; run < 16; ++run) {
    signed_scales += static_cast<char>(run % 2 == 0 ? -128 + 9 * run : 127 - 11 * run);
  }
  for (std::size_t i = 0; i < 256; ++i) {
    const int q = number_of(i, 6);
    const std::size_t inside = i % 128;
    lower[i / 128 * 64 + inside % 64] |= static_cast<char>(q % 16 << (inside < 64 ? 0 : 4));
    upper[i / 128 * 32 + inside % 32] |= static_cast<char>(q / 16 << 2 * (inside / 32));
  }
  const auto values = values_of(14, lower + upper + signed_scales + half(minus_half));
  for (std::size_t i = 0; i < 256; ++i) {
    const double expected = -0.5 * static_cast<signed char>(signed_scales[i / 16]) * (number_of(i, 6) - 32);
    EXPECT_EQ(values[i], static_cast<float>(expected)) << i;
  }
}

TEST(GgufBlocks, HaveExactScalesInHalfPrecision) {
  const auto scale = [](std::uint16_t bits) { return values_of(8, half(bits) + std::string(32, '\x01'))[5]; };
  EXPECT_EQ(scale(one), 1.0F);
  EXPECT_EQ(scale(0x0001), std::ldexp(1.0F, -24));
  EXPECT_EQ(scale(0x83ff), -std::ldexp(1023.0F, -24));
  EXPECT_EQ(scale(0x7bff), 65504.0F);
  EXPECT_EQ(scale(0xfc00), -INFINITY);
  EXPECT_TRUE(std::isnan(scale(0x7e00)));
  for (std::uint32_t bits = 0; bits < 0x7c00; bits += 13) {
    EXPECT_EQ(scale(static_cast<std::uint16_t>(bits)),
              std::ldexp(static_cast<float>(bits < 0x400 ? bits : (bits & 0x3ffU) | 0x400U),
                         bits < 0x400 ? -24 : static_cast<int>(bits >> 10U) - 25));
  }
}

TEST(GgufBlocks, OfOtherFormatsAreRefusedByName) {
  const support::TemporaryFolder folder;
  support::GgufWriter writer;
  writer.tensors = {{"x", {256}, 10, std::string(84, '\0')}, {"n", {4}, 26, std::string(16, '\0')}};
  const auto file = models::MappedFile::open(folder.write("a.gguf", writer.bytes()));
  const auto header = models::parse_gguf(file->bytes(), file->path());
  models::GgufParameters parameters(file, false);
  EXPECT_EQ(support::refusal_about(file->path(), [&] { parameters.add("x", header.tensors[0]); }),
            "tensor 'x' is Q2_K, which is not supported; supported are F32, F16, BF16, F64, I8, I16, I32, I64, Q4_0, "
            "Q4_1, Q5_0, Q5_1, Q8_0, Q4_K, Q5_K, Q6_K");
  EXPECT_EQ(support::refusal_about(file->path(), [&] { parameters.add("n", header.tensors[1]); }),
            "tensor 'n' holds I32, expected floating-point or quantised numbers");
}

}  // namespace
}  // namespace hessian::tests
