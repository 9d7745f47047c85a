#include <gtest/gtest.h>

#include <random>
#include <string>
#include <type_traits>
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
      "looks like text: its bytes are ASCII; give it a name that ends in .txt, --token-type uint8 for a token per "
      "byte, or --token-type uint16 if they are numbers");
  EXPECT_EQ(eleventh(numbers<std::uint32_t>(200), {.type = TokenType::uint16}), 0);
}

/// Returns numbers of a type with one odd value among them.
template <typename Number>
std::string with_odd_value(Number odd) {
  return numbers<Number>(50257, 2000) + little_endian(odd) + numbers<Number>(50257, 1999);
}

TEST(TokenFile, JudgesTheTypeByTheMajority) {
  for (const std::string& file :
       {with_odd_value<std::int32_t>(-1), with_odd_value<std::int32_t>(-100), with_odd_value<std::int32_t>(1 << 20),
        with_odd_value<std::uint32_t>(4'000'000'000U)}) {
    EXPECT_TRUE(refusal(file).starts_with("looks like uint32")) << refusal(file);
  }
  for (const std::string& file : {with_odd_value<std::int64_t>(-1), with_odd_value<std::int64_t>(-100)}) {
    EXPECT_TRUE(refusal(file).starts_with("looks like int64")) << refusal(file);
  }
  EXPECT_TRUE(refusal("na\u00efve " + std::string(999, 'x')).starts_with("looks like text"));
  // Small ids with one large one are a small vocabulary.
  EXPECT_EQ(eleventh(numbers<std::uint16_t>(12, 2000) + little_endian(std::uint16_t{40000}) +
                         numbers<std::uint16_t>(12, 1999),
                     {}),
            (11 * 7919 + 1) % 12);
}

TEST(TokenFile, NamesTheOptionThatItsReaderHas) {
  const TokenFileOptions options{.type_option = "data.token_type"};
  EXPECT_EQ(refusal(numbers<std::uint32_t>(200), options),
            "looks like uint32: every other one of its uint16 numbers is 0 or almost; give data.token_type uint32, or "
            "data.token_type uint16 if they are right");
}

TEST(TokenFile, SaysHowLargeItsVocabularyIs) {
  const std::string file = models::token_file_header(TokenType::uint16, 1, 300) + little_endian(std::uint16_t{299});
  EXPECT_EQ(TokenStream::bin(as_bytes(file), "t.bin").header_vocab_size(), 300);
  EXPECT_EQ(TokenStream::bin(as_bytes(file), "t.bin").part(0, 1).header_vocab_size(), 300);
  EXPECT_EQ(TokenStream::bin(as_bytes(numbers<std::uint16_t>(200)), "t.bin").header_vocab_size(), 0);
  const std::string absurd = models::token_file_header(TokenType::uint16, 1, ~std::uint64_t{0}) + std::string(2, '\0');
  EXPECT_EQ(refusal(absurd),
            "says that its tokens are of a vocabulary of 18446744073709551615, more than 2 bytes can tell apart");
}

TEST(TokenFile, FindsTheFirstIdOutsideTheVocabulary) {
  const auto first = [](const auto& odd) {
    using Number = std::decay_t<decltype(odd)>;
    const std::string bytes = numbers<Number>(200, 10000) + little_endian(odd) + numbers<Number>(200, 5);
    const TokenType type = std::is_same_v<Number, std::uint16_t>   ? TokenType::uint16
                           : std::is_same_v<Number, std::uint32_t> ? TokenType::uint32
                           : std::is_same_v<Number, std::int32_t>  ? TokenType::int32
                                                                   : TokenType::int64;
    return TokenStream::numbers(as_bytes(bytes), type).first_outside(200);
  };
  EXPECT_EQ(first(std::uint16_t{200}), 10000);
  EXPECT_EQ(first(std::uint32_t{200}), 10000);
  EXPECT_EQ(first(std::int32_t{-1}), 10000);
  EXPECT_EQ(first(std::int64_t{-1}), 10000);
  EXPECT_EQ(first(std::int64_t{199}), 10006);  // all are inside
}

TEST(TokenFile, IsReadBackAsJson) {
  const TemporaryFolder folder;
  const auto read = [](const std::string& path) { return models::read_id_lists(path, std::nullopt, 100); };
  using Lists = std::vector<std::vector<std::int32_t>>;
  EXPECT_EQ(read(folder.write("a.json", "{\n  \"ids\": [1,\n 2]\n}\n")), (Lists{{1, 2}}));
  EXPECT_EQ(read(folder.write("b.jsonl", "{\"ids\": [1, 2]}\n{\"ids\": []}\n\n{\"ids\": [99]}\n")),
            (Lists{{1, 2}, {}, {99}}));
  const std::string path = folder.write("c.json", "{\"ids\": [1]}\n{\"text\": \"one\"}\n");
  EXPECT_EQ(support::refusal_about(path, [&] { read(path); }), "line 2 has no list 'ids'");
  const std::string text = folder.write("t.txt", "In the beginning God created");
  EXPECT_EQ(support::refusal_about(text, [&] { read(text); }), "is text; expected a token file, or ids as JSON");
  models::write_token_file(folder / "t.bin", std::vector<std::int32_t>{1, 2}, 90, {});
  EXPECT_EQ(support::refusal_about(folder / "t.bin", [&] { read(folder / "t.bin"); }),
            "has ids of a vocabulary of 90 according to its header, but the tokenizer has 100 tokens");
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
  EXPECT_EQ(models::read_id_lists(folder / "t.bin", std::nullopt, 65536),
            (std::vector<std::vector<std::int32_t>>{ids}));
  models::write_token_file(folder / "t.bin", ids, 65537, {.overwrite = true});
  EXPECT_EQ(support::read_file(folder / "t.bin").size(), 32U + 16U);
  EXPECT_EQ(models::read_id_lists(folder / "t.bin", std::nullopt, 65537),
            (std::vector<std::vector<std::int32_t>>{ids}));
  models::write_token_file(folder / "bare.bin", ids, 65536, {.bare = true});
  EXPECT_EQ(support::read_file(folder / "bare.bin"), little_endian(std::uint16_t{0}) + little_endian(std::uint16_t{5}) +
                                                         "\xff\xff" + little_endian(std::uint16_t{3}));
  EXPECT_EQ(
      refusal_of([&] { models::write_token_file(folder / "b", ids, 65537, {.bare = true}); }),
      folder / "b: a bare file has uint16 tokens, which are too narrow for a vocabulary of 65537; write a header");
}

}  // namespace
}  // namespace hessian::tests
