#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <set>

#include "io/utf8.h"
#include "loader_support.h"
#include "refusal.h"
#include "tokens/token_stream.h"

using hessian::models::TokenStream;
using hessian::support::as_bytes;
using hessian::support::little_endian;
using hessian::support::refusal_of;

namespace hessian::tests {
namespace {

std::string llmc_file(std::int32_t magic, std::int32_t version, std::int32_t tokens, const std::string& body) {
  return little_endian(magic) + little_endian(version) + little_endian(tokens) + std::string(253 * 4, '\0') + body;
}

std::string bin_refusal(const std::string& file) {
  return refusal_of([&] { TokenStream::bin(as_bytes(file), "train.bin"); });
}

TEST(TokenStream, ReadsTheThreeFormsOfTokenFiles) {
  const std::string nanogpt = little_endian<std::uint16_t>(50256) + little_endian<std::uint16_t>(7);
  const auto raw = TokenStream::bin(as_bytes(nanogpt), "train.bin");
  EXPECT_EQ(raw.size(), 2);
  EXPECT_EQ(raw[0], 50256);
  const std::string gpt2 = llmc_file(20240520, 1, 2, nanogpt);
  EXPECT_EQ(TokenStream::bin(as_bytes(gpt2), "train.bin")[1], 7);
  const std::string llama3 = llmc_file(20240801, 7, 1, little_endian<std::uint32_t>(128000));
  const auto wide = TokenStream::bin(as_bytes(llama3), "train.bin");
  EXPECT_EQ(wide.size(), 1);
  EXPECT_EQ(wide[0], 128000);
}

TEST(TokenStream, RefusesInconsistentTokenFiles) {
  EXPECT_EQ(
      bin_refusal("abc"),
      "train.bin: has 3 bytes, which is not a whole number of uint16 tokens; give --token-type if they are of another "
      "type");
  EXPECT_EQ(bin_refusal(llmc_file(20240520, 2, 0, "")), "train.bin: is an llm.c token file of version 2, expected 1");
  EXPECT_EQ(bin_refusal(llmc_file(20240520, 1, 3, "abcd")),
            "train.bin: says that it holds 3 tokens of 2 bytes, but 4 bytes follow its header");
  EXPECT_EQ(bin_refusal(llmc_file(20240801, 7, -1, "abcd")),
            "train.bin: says that it holds -1 tokens of 4 bytes, but 4 bytes follow its header");
  EXPECT_EQ(bin_refusal(llmc_file(20240520, 1, 0, "").substr(0, 100)),
            "train.bin: the token file's header ends at its byte 100, in the middle of a value");
}

TEST(TokenStream, AcceptsOnlyWellFormedUtf8) {
  const auto invalid = [](const std::string& text) { return models::first_invalid_utf8(as_bytes(text)); };
  for (const std::string text : {"", "plain", "\xc2\x80", "\xdf\xbf", "\xe0\xa0\x80", "\xed\x9f\xbf", "\xef\xbf\xbf",
                                 "\xf0\x90\x80\x80", "\xf4\x8f\xbf\xbf"}) {
    EXPECT_EQ(invalid(text), text.size());
  }
  // Lone continuation, overlong forms, a surrogate, beyond 0x10ffff, never-used bytes, cut sequences.
  for (const std::string text : {"\x80", "\xc0\x80", "\xc1\xbf", "\xe0\x9f\xbf", "\xed\xa0\x80", "\xf0\x8f\xbf\xbf",
                                 "\xf4\x90\x80\x80", "\xf5\x80\x80\x80", "\xff", "\xc2", "\xe2\x82", "\xf0\x9f\x98"}) {
    EXPECT_EQ(invalid("ok " + text), 3U);
    EXPECT_EQ(invalid("ok " + text + " more"), 3U);
  }
  EXPECT_EQ(refusal_of([] { TokenStream::text(as_bytes("two\xfftwo"), "notes.txt"); }),
            "notes.txt: is not UTF-8 text (byte 3 is 0xff); convert it to UTF-8, for instance with iconv");
}

TEST(TokenStream, HoldsOutTheLastTenthFromTheStartOfALine) {
  std::string text;
  for (int line = 0; line < 100; ++line) {
    text += "line number " + std::to_string(line) + "\n";
  }
  const auto border = models::held_out_begin(TokenStream::text(as_bytes(text), "t.txt"));
  EXPECT_GE(border, static_cast<std::int64_t>(text.size() * 9 / 10));
  EXPECT_LT(border, static_cast<std::int64_t>(text.size() * 9 / 10 + 20));
  EXPECT_EQ(text[static_cast<std::size_t>(border) - 1], '\n');
  const std::string one_line(100, 'x');
  EXPECT_EQ(models::held_out_begin(TokenStream::text(as_bytes(one_line), "t.txt")), 90);
}

TEST(WindowStarts, DoNotOverlapIfThereIsRoom) {
  for (std::uint64_t seed = 0; seed < 200; ++seed) {
    const auto total = static_cast<std::int64_t>(40 + seed);
    const std::int64_t length = 2 + static_cast<std::int64_t>(seed % 9);
    const std::int64_t count = 1 + static_cast<std::int64_t>(seed) % (total / length);
    const auto starts = models::draw_window_starts(total, count, length, seed, "t");
    ASSERT_EQ(starts.size(), static_cast<std::size_t>(count));
    EXPECT_GE(starts.front(), 0);
    EXPECT_LE(starts.back(), total - length) << "seed " << seed;
    for (std::size_t i = 1; i < starts.size(); ++i) {
      EXPECT_GE(starts[i], starts[i - 1] + length) << "seed " << seed;
    }
  }
}

TEST(WindowStarts, DifferIfWindowsMustOverlap) {
  for (std::uint64_t seed = 0; seed < 50; ++seed) {
    const auto starts = models::draw_window_starts(20, 12, 9, seed, "t");
    EXPECT_EQ(std::set<std::int64_t>(starts.begin(), starts.end()),
              (std::set<std::int64_t>{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11}));
  }
}

// Two windows of 2 in 6 tokens have 6 placements; each should occur about 1000 times in 6000, within 5 standard
// deviations.
TEST(WindowStarts, MakeEveryPlacementEquallyLikely) {
  std::map<std::vector<std::int64_t>, int> seen;
  for (std::uint64_t seed = 0; seed < 6000; ++seed) {
    ++seen[models::draw_window_starts(6, 2, 2, seed, "t")];
  }
  EXPECT_EQ(seen.size(), 6U);
  for (const auto& [starts, times] : seen) {
    EXPECT_NEAR(times, 1000, 5 * 29) << starts[0] << ", " << starts[1];
  }
}

// std::mt19937_64 is fixed by the standard (its 10000th number is 9981545732273789042), and the draw adds only integer
// arithmetic.
TEST(WindowStarts, AreTheSameOnEveryPlatform) {
  std::mt19937_64 generator;
  generator.discard(9999);
  EXPECT_EQ(models::bounded_draw(generator, std::uint64_t{1} << 63), 9981545732273789042U % (std::uint64_t{1} << 63));
  EXPECT_EQ(models::draw_window_starts(1000, 3, 11, 42, "t"), models::draw_window_starts(1000, 3, 11, 42, "t"));
  EXPECT_NE(models::draw_window_starts(1000, 3, 11, 42, "t"), models::draw_window_starts(1000, 3, 11, 43, "t"));
}

TEST(WindowStarts, RefuseWindowsThatDoNotFit) {
  const auto refusal = [](std::int64_t total, std::int64_t count, std::int64_t length) {
    return refusal_of([&] { models::draw_window_starts(total, count, length, 0, "t.txt"); });
  };
  EXPECT_EQ(refusal(20, 1, 33),
            "t.txt: has 20 tokens, but one window takes 33 (a sequence of 32, and the token after it)");
  EXPECT_EQ(refusal(40, 10, 33),
            "t.txt: has 40 tokens, which hold 8 different windows of 33, fewer than the 10 sequences asked for");
  EXPECT_EQ(refusal(40, 0, 33), "t.txt: cannot give 0 sequences of 32 tokens; both have to be at least 1");
  EXPECT_EQ(refusal(40, 1, 1), "t.txt: cannot give 1 sequences of 0 tokens; both have to be at least 1");
}

}  // namespace
}  // namespace hessian::tests
