#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <limits>

#include "gguf/gguf.h"
#include "gguf_support.h"
#include "refusal.h"

using hessian::support::GgufWriter;
using hessian::support::little_endian;
using hessian::support::possible_refusal;
using hessian::support::refusal_about;
using testing::ElementsAre;
using testing::HasSubstr;

namespace hessian::tests {
namespace {

constexpr std::uint32_t f32 = 0;
constexpr std::uint32_t q8_0 = 8;

models::GgufHeader parse(const std::string& file) {
  return models::parse_gguf(support::as_bytes(file), "a.gguf");
}

std::string refusal(const std::string& file) {
  return refusal_about("a.gguf", [&] { parse(file); });
}

std::string refusal(const GgufWriter& writer) {
  return refusal(writer.bytes());
}

/// Returns a file of two tensors, [3, 2] and [64] quantised.
GgufWriter two_tensors() {
  GgufWriter writer;
  writer.text("general.name", "two");
  writer.texts("words", {"a", "", "ccc"});
  writer.tensors = {{"x", {2, 3}, f32, std::string(24, 'x')}, {"y", {64}, q8_0, std::string(68, 'y')}};
  return writer;
}

TEST(Gguf, ReadsMetadataOfEveryType) {
  GgufWriter writer;
  writer.raw("u8", 0, little_endian<std::uint8_t>(200));
  writer.raw("i8", 1, little_endian<std::int8_t>(-100));
  writer.raw("u16", 2, little_endian<std::uint16_t>(60000));
  writer.raw("i16", 3, little_endian<std::int16_t>(-30000));
  writer.number("u32", 4'000'000'000U);
  writer.raw("i32", 5, little_endian<std::int32_t>(-2'000'000'000));
  writer.real("f32", 0.1F);
  writer.flag("yes", true);
  writer.flag("no", false);
  writer.text("text", "words\nand more");
  writer.raw("u64", 10, little_endian<std::uint64_t>(1) + "");
  writer.raw("i64", 11, little_endian<std::int64_t>(std::numeric_limits<std::int64_t>::min()));
  writer.raw("f64", 12, little_endian(0.1));
  writer.texts("texts", {"a", "", "b c"});
  writer.numbers("numbers", {1, -2, 3});
  writer.reals("reals", {0.5F, -0.25F});
  const std::string file = writer.bytes();
  const models::GgufMetadata metadata = parse(file).metadata;
  EXPECT_EQ(metadata.integer("u8"), 200);
  EXPECT_EQ(metadata.integer("i8"), -100);
  EXPECT_EQ(metadata.integer("u16"), 60000);
  EXPECT_EQ(metadata.integer("i16"), -30000);
  EXPECT_EQ(metadata.integer("u32"), 4'000'000'000);
  EXPECT_EQ(metadata.integer("i32"), -2'000'000'000);
  EXPECT_EQ(metadata.number("f32"), static_cast<double>(0.1F));
  EXPECT_EQ(metadata.flag("yes"), true);
  EXPECT_EQ(metadata.flag("no"), false);
  EXPECT_EQ(metadata.text("text"), "words\nand more");
  EXPECT_EQ(metadata.integer("u64"), 1);
  EXPECT_EQ(metadata.integer("i64"), std::numeric_limits<std::int64_t>::min());
  EXPECT_EQ(metadata.number("f64"), 0.1);
  EXPECT_EQ(metadata.number("u8"), 200);
  EXPECT_THAT(*metadata.texts("texts"), ElementsAre("a", "", "b c"));
  EXPECT_THAT(*metadata.integers("numbers"), ElementsAre(1, -2, 3));
  EXPECT_THAT(*metadata.numbers("reals"), ElementsAre(0.5, -0.25));
  EXPECT_TRUE(metadata.is_array("reals"));
  EXPECT_FALSE(metadata.is_array("text"));
  EXPECT_EQ(metadata.integer("absent"), std::nullopt);
  EXPECT_EQ(metadata.texts("absent"), std::nullopt);
}

TEST(Gguf, RefusesMetadataOfAnotherTypeThanAskedFor) {
  GgufWriter writer;
  writer.text("text", "5");
  writer.real("real", 5);
  writer.raw("flag", 7, "\x02");
  writer.raw("large", 10, little_endian(std::numeric_limits<std::uint64_t>::max()));
  writer.numbers("numbers", {1});
  writer.array("nested", 9, 1, little_endian<std::uint32_t>(0) + little_endian<std::uint64_t>(2) + "ab");
  const std::string file = writer.bytes();
  const models::GgufMetadata metadata = parse(file).metadata;
  const auto about = [&](const auto& action) { return refusal_about("a.gguf", action); };
  EXPECT_EQ(about([&] { metadata.integer("text"); }), "'text' is a text, expected an integer below 2^63");
  EXPECT_EQ(about([&] { metadata.integer("real"); }),
            "'real' is a floating-point number, expected an integer below 2^63");
  EXPECT_EQ(about([&] { metadata.integer("large"); }), "'large' is an integer, expected an integer below 2^63");
  EXPECT_EQ(about([&] { metadata.number("text"); }), "'text' is a text, expected a number");
  EXPECT_EQ(about([&] { metadata.flag("real"); }), "'real' is a floating-point number, expected true or false");
  EXPECT_EQ(about([&] { metadata.flag("flag"); }), "'flag' is 2, expected 0 (false) or 1 (true)");
  EXPECT_EQ(about([&] { metadata.text("numbers"); }), "'numbers' is an array, expected a text");
  EXPECT_EQ(about([&] { metadata.texts("text"); }), "'text' is a text, expected an array of texts");
  EXPECT_EQ(about([&] { metadata.texts("numbers"); }), "'numbers' has an integer in it, expected an array of texts");
  EXPECT_EQ(about([&] { metadata.integers("nested"); }), "'nested' has an array in it, expected an array of integers");
  EXPECT_EQ(about([&] { metadata.required(metadata.text("absent"), "absent"); }), "the metadata has no 'absent'");
}

TEST(Gguf, FindsTensorsInBothVersionsAndForAnyAlignment) {
  for (const std::uint32_t version : {2U, 3U}) {
    for (const std::size_t alignment : {8U, 32U, 4096U}) {
      GgufWriter writer = two_tensors();
      writer.version = version;
      writer.alignment = alignment;
      writer.number("general.alignment", static_cast<std::uint32_t>(alignment));
      const std::string file = writer.bytes();
      const auto header = parse(file);
      ASSERT_EQ(header.tensors.size(), 2U);
      const auto& [x, y] = std::pair(header.tensors[0], header.tensors[1]);
      EXPECT_EQ(x.name, "x");
      EXPECT_STREQ(x.format->name, "F32");
      EXPECT_THAT(x.shape, ElementsAre(3, 2)) << "the file lists the dimension of adjacent entries first";
      EXPECT_EQ(file.substr(x.begin, x.end - x.begin), std::string(24, 'x'));
      EXPECT_THAT(y.shape, ElementsAre(64));
      EXPECT_EQ(file.substr(y.begin, y.end - y.begin), std::string(68, 'y'));
      EXPECT_EQ(x.begin % alignment, 0U);
      EXPECT_EQ(y.begin % alignment, 0U);
      EXPECT_EQ(header.metadata.text("general.name"), "two");
    }
  }
}

TEST(Gguf, ReadsAFileWithoutTensorsThatIsNotPadded) {
  GgufWriter writer;
  writer.alignment = 1;
  writer.text("only", "this");
  const std::string file = writer.bytes();
  EXPECT_EQ(parse(file).metadata.text("only"), "this");
  EXPECT_EQ(parse(file).size, file.size());
}

TEST(Gguf, RefusesOtherFilesAndVersions) {
  EXPECT_EQ(refusal("GGML and more"), "does not begin with 'GGUF'; this is no GGUF file");
  EXPECT_EQ(refusal(""), "does not begin with 'GGUF'; this is no GGUF file");
  GgufWriter writer = two_tensors();
  writer.version = 1;
  EXPECT_EQ(refusal(writer), "is GGUF version 1, but only versions 2 and 3 are read");
  writer.version = 4;
  EXPECT_EQ(refusal(writer), "is GGUF version 4, but only versions 2 and 3 are read");
  writer.version = 0x03000000;
  EXPECT_EQ(refusal(writer), "is a big-endian GGUF file; only little-endian ones are read");
}

TEST(Gguf, RefusesAFileCutAnywhere) {
  GgufWriter writer = two_tensors();
  writer.tensors.back().data += std::string(28, 'y');  // no padding behind it
  const std::string whole = writer.bytes();
  parse(whole);
  for (std::size_t size = 0; size + 28 < whole.size(); ++size) {
    EXPECT_TRUE(possible_refusal([&] { parse(whole.substr(0, size)); })) << size << " bytes";
  }
}

TEST(Gguf, NeverPointsOutsideADamagedFile) {
  const std::string whole = two_tensors().bytes();
  for (std::size_t position = 0; position < whole.size(); ++position) {
    for (const char value : {'\x00', '\x01', '\x7f', '\xff'}) {
      std::string changed = whole;
      changed[position] = value;
      possible_refusal([&] {
        for (const auto& tensor : parse(changed).tensors) {
          EXPECT_LE(tensor.begin, tensor.end);
          EXPECT_LE(tensor.end, changed.size()) << "byte " << position;
        }
      });
    }
  }
}

TEST(Gguf, RefusesCountsThatExceedTheFile) {
  const std::string whole = two_tensors().bytes();
  const auto with_number = [&](std::size_t position, std::uint64_t number) {
    std::string changed = whole;
    changed.replace(position, 8, little_endian(number));
    return refusal(changed);
  };
  constexpr std::uint64_t huge = std::uint64_t{1} << 60;
  EXPECT_THAT(with_number(8, huge), HasSubstr("says that it has 1152921504606846976 tensors, but only "));
  EXPECT_THAT(with_number(16, huge), HasSubstr("says that it has 1152921504606846976 metadata keys, but only "));
  EXPECT_THAT(with_number(24, huge), HasSubstr("in the middle of a value")) << "the length of a key";
  for (const std::uint32_t type : {0U, 7U, 8U, 9U, 12U}) {
    GgufWriter writer = two_tensors();
    writer.array("values", type, huge, std::string(64, '\0'));
    EXPECT_THAT(refusal(writer), HasSubstr("says that it has 1152921504606846976 elements in an array, but only "));
  }
}

TEST(Gguf, RefusesUnknownTypes) {
  GgufWriter writer = two_tensors();
  writer.raw("value", 13, std::string(8, '\0'));
  EXPECT_EQ(refusal(writer), "the value of 'value' has the unknown type 13");
  writer = two_tensors();
  writer.array("value", 77, 1, std::string(8, '\0'));
  EXPECT_EQ(refusal(writer), "an element of an array has the unknown type 77");
  writer = two_tensors();
  writer.tensors.front().type = 99;
  EXPECT_EQ(refusal(writer), "tensor 'x' has the unknown type 99");
}

TEST(Gguf, RefusesArraysNestedWithoutEnd) {
  std::string bytes = little_endian<std::uint32_t>(0) + little_endian<std::uint64_t>(1) + "z";
  for (int depth = 0; depth < 20; ++depth) {
    bytes = little_endian<std::uint32_t>(9) + little_endian<std::uint64_t>(1) + bytes;
  }
  GgufWriter writer;
  writer.raw("value", 9, bytes);
  EXPECT_EQ(refusal(writer), "has arrays within arrays, more than 8 deep");
}

TEST(Gguf, RefusesRepeatedNames) {
  GgufWriter writer = two_tensors();
  writer.repeat_last_value();
  EXPECT_EQ(refusal(writer), "the metadata has 'words' twice");
  writer = two_tensors();
  writer.tensors.back().name = "x";
  EXPECT_EQ(refusal(writer), "tensor 'x' comes twice");
}

TEST(Gguf, RefusesBadAlignments) {
  for (const std::uint32_t alignment : {0U, 4U, 24U, 0x80000000U}) {
    GgufWriter writer = two_tensors();
    writer.number("general.alignment", alignment);
    EXPECT_EQ(refusal(writer),
              "'general.alignment' is " + std::to_string(alignment) + ", expected a power of two from 8 to 1073741824");
  }
  GgufWriter writer = two_tensors();
  writer.text("general.alignment", "32");
  EXPECT_EQ(refusal(writer), "'general.alignment' is a text, expected an integer below 2^63");
  writer = two_tensors();
  writer.tensors.back().shift = 8;
  EXPECT_EQ(refusal(writer), "tensor 'y' begins at byte 40 of the data, expected a multiple of 32");
}

TEST(Gguf, RefusesTensorsOutsideTheFileOrOverEachOther) {
  GgufWriter writer = two_tensors();
  writer.tensors.back().shift = 64;
  EXPECT_EQ(refusal(writer),
            "tensor 'y' takes 68 bytes from byte 96 of the data on, but the file has 128; it may be cut short");
  writer.tensors.back().shift = std::numeric_limits<std::uint64_t>::max() - 63;
  EXPECT_THAT(refusal(writer), HasSubstr("tensor 'y' takes 68 bytes from byte 18446744073709551584 of the data on"));
  writer = two_tensors();
  writer.tensors.back().shift = std::uint64_t{0} - 32;
  EXPECT_EQ(refusal(writer), "tensors 'x' and 'y' overlap");
}

TEST(Gguf, RefusesShapesThatAreNoShapes) {
  GgufWriter writer = two_tensors();
  writer.tensors.front().sizes = {1, 1, 1, 1, 6};
  EXPECT_EQ(refusal(writer), "tensor 'x' has 5 dimensions, expected 4 or fewer");
  writer.tensors.front().sizes = {std::uint64_t{1} << 40, std::uint64_t{1} << 40};
  EXPECT_EQ(refusal(writer), "tensor 'x' has shape [1099511627776, 1099511627776], which is too large");
  writer.tensors.front().sizes = {std::uint64_t{1} << 62};
  EXPECT_EQ(refusal(writer), "tensor 'x' has shape [4611686018427387904], which is too large");
  writer.tensors.front().sizes = {std::uint64_t{1} << 63};
  EXPECT_EQ(refusal(writer), "tensor 'x' has 9223372036854775808 entries in one dimension, which is too many");
  writer = two_tensors();
  writer.tensors.back().sizes = {16, 4};
  EXPECT_EQ(refusal(writer), "tensor 'y' has rows of 16 entries, but Q8_0 stores 32 together");
}

}  // namespace
}  // namespace hessian::tests
