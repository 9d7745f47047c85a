#include <gtest/gtest.h>

#include <random>
#include <string>
#include <vector>

#include "loader_support.h"
#include "refusal.h"
#include "tokens/token_output.h"
#include "tokens/token_stream.h"

using hessian::models::TokenFileOptions;
using hessian::models::TokenStream;
using hessian::models::TokenType;
using hessian::support::as_bytes;
using hessian::support::little_endian;
using hessian::support::refusal_of;
using hessian::support::TemporaryFolder;

namespace hessian::tests {
namespace {

/// Returns ids from 0 to `bound` as numbers of a type.
template <typename Number>
std::string numbers(std::int64_t bound, int count = 100) {
  std::string bytes;
  for (int i = 0; i < count; ++i) {
    bytes += little_endian(static_cast<Number>((i * 7919 + 1) % bound));
  }
  return bytes;
}

std::string refusal(const std::string& file, const TokenFileOptions& options = {}) {
  return support::without_prefix(refusal_of([&] { TokenStream::bin(as_bytes(file), "t.bin", options); }), "t.bin: ");
}

/// Returns the number 11 of a file.
std::int64_t eleventh(const std::string& file, const TokenFileOptions& options) {
  return TokenStream::bin(as_bytes(file), "t.bin", options)[11];
}

TEST(TokenFile, ReadsNumbersOfTheTypeThatIsGiven) {
  constexpr std::int64_t expected = (11 * 7919 + 1) % 200;
  EXPECT_EQ(eleventh(numbers<std::uint8_t>(200), {.type = TokenType::uint8}), expected);
  EXPECT_EQ(eleventh(numbers<std::uint16_t>(200), {}), expected);
  EXPECT_EQ(eleventh(numbers<std::uint32_t>(200), {.type = TokenType::uint32}), expected);
  EXPECT_EQ(eleventh(numbers<std::int32_t>(200), {.type = TokenType::int32}), expected);
  EXPECT_EQ(eleventh(numbers<std::int64_t>(200), {.type = TokenType::int64}), expected);
  const std::string negative = little_endian(std::int32_t{-5});
  EXPECT_EQ(TokenStream::bin(as_bytes(negative), "t.bin", {.type = TokenType::int32})[0], -5);
}

TEST(TokenFile, RefusesBareNumbersThatLookLikeAnotherType) {
  const std::string uint32 =
      "looks like uint32: every other one of its uint16 numbers is 0 or almost; give --token-type uint32, or "
      "--token-type uint16 if they are right";
  EXPECT_EQ(refusal(numbers<std::uint32_t>(200)), uint32);
  EXPECT_EQ(refusal(numbers<std::uint32_t>(50257)), uint32);
  EXPECT_EQ(refusal(numbers<std::uint32_t>(151936)), uint32);
  EXPECT_EQ(refusal(numbers<std::int64_t>(50257)),
            "looks like int64: three of four of its uint16 numbers are 0; give --token-type int64, or --token-type "
            "uint16 if they are right");
  EXPECT_EQ(
      refusal("In the beginning God created the heaven and the earth.\n\n"),
      "looks like text: all bytes are ASCII; give it a name that ends in .txt, --token-type uint8 for a token per "
      "byte, or --token-type uint16 if they are numbers");
  EXPECT_EQ(eleventh(numbers<std::uint32_t>(200), {.type = TokenType::uint16}), 0);
}

TEST(TokenFile, AcceptsSmallVocabularies) {
  std::mt19937_64 generator(7);
  for (const std::uint64_t vocab : {2U, 4U, 12U, 65U, 256U, 50257U, 65536U}) {
    std::string file;
    std::vector<std::uint64_t> ids;
    for (int i = 0; i < 100; ++i) {
      ids.push_back(models::bounded_draw(generator, vocab));
      file += little_endian(static_cast<std::uint16_t>(ids.back()));
    }
    EXPECT_EQ(eleventh(file, {.vocab_size = static_cast<std::int64_t>(vocab)}), ids[11]) << "vocabulary " << vocab;
  }
  EXPECT_EQ(eleventh(std::string(200, '\0'), {}), 0);
}

TEST(TokenFile, NeedsToKnowTheTypeForALargeVocabulary) {
  EXPECT_EQ(refusal(numbers<std::uint16_t>(200), {.vocab_size = 70000}),
            "has no header that says how wide its tokens are, and uint16 is too narrow for a vocabulary of 70000; give "
            "--token-type (uint32, int32 or int64)");
  EXPECT_EQ(refusal("abc", {.type = TokenType::uint32}), "has 3 bytes, which is not a whole number of uint32 tokens");
}

TEST(TokenFile, NamesOtherFilesOfLlmC) {
  std::string model = little_endian(std::int32_t{20240326}) + little_endian(std::int32_t{3});
  model.resize(2048, '\x3c');
  EXPECT_EQ(refusal(model), "is a model file of llm.c (magic number 20240326), expected tokens");
}

TEST(TokenFile, RefusesATypeThatContradictsTheHeader) {
  const std::string file = models::token_file_header(TokenType::uint16, 1, 300) + little_endian(std::uint16_t{299});
  EXPECT_EQ(refusal(file, {.type = TokenType::uint32}),
            "has tokens of type uint16 according to its header, but --token-type is uint32");
  EXPECT_EQ(refusal(file + "x"), "says that it holds 1 tokens of 2 bytes, but 3 bytes follow its header");
  std::string other = file;
  other[8] = 2;
  EXPECT_EQ(refusal(other), "is a token file of version 2 with 2 bytes per token, expected version 1 with 2 or 4");
}

TEST(TokenFile, IsWrittenWithTheTypeThatTheVocabularyNeeds) {
  const TemporaryFolder folder;
  const std::vector<std::int32_t> ids = {0, 5, 65535, 3};
  models::write_token_file(folder / "t.bin", ids, 65536, {});
  EXPECT_EQ(support::read_file(folder / "t.bin").size(), 32U + 8U);
  EXPECT_EQ(models::read_ids(folder / "t.bin", std::nullopt, 65536), ids);
  models::write_token_file(folder / "t.bin", ids, 65537, {.overwrite = true});
  EXPECT_EQ(support::read_file(folder / "t.bin").size(), 32U + 16U);
  EXPECT_EQ(models::read_ids(folder / "t.bin", std::nullopt, 65537), ids);
  models::write_token_file(folder / "bare.bin", ids, 65536, {.bare = true});
  EXPECT_EQ(support::read_file(folder / "bare.bin"), little_endian(std::uint16_t{0}) + little_endian(std::uint16_t{5}) +
                                                         "\xff\xff" + little_endian(std::uint16_t{3}));
  EXPECT_EQ(
      refusal_of([&] { models::write_token_file(folder / "b", ids, 65537, {.bare = true}); }),
      folder / "b: a bare file has uint16 tokens, which are too narrow for a vocabulary of 65537; write a header");
}

}  // namespace
}  // namespace hessian::tests
