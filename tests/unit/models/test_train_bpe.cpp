#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "hessian/models/tokenizer.h"
#include "loader_support.h"
#include "refusal.h"
#include "tokenizers/train_bpe.h"

using hessian::models::Tokenizer;
using hessian::models::train_bpe;
using hessian::support::refusal_of;
using hessian::support::TemporaryFolder;

namespace hessian::tests {
namespace {

std::vector<std::string> merges_of(const std::string& text, std::int64_t vocab_size) {
  const std::vector<std::string_view> texts = {text};
  const auto json = nlohmann::json::parse(train_bpe(texts, vocab_size));
  std::vector<std::string> merges;
  for (const auto& merge : json["model"]["merges"]) {
    merges.push_back(merge[0].get<std::string>() + "+" + merge[1].get<std::string>());
  }
  return merges;
}

TEST(TrainBpe, MergesTheMostFrequentPairFirst) {
  // "lo" occurs 7 times, "low" 7 times, "ne" and "ew" 2 times; words end at spaces.
  EXPECT_EQ(merges_of("low low low low low lower lower new new", 257 + 3),
            (std::vector<std::string>{"l+o", "lo+w", "Ġ+low"}));
}

TEST(TrainBpe, CountsOverlappingPairs) {
  // "aaaa" has three pairs of equal letters.
  EXPECT_EQ(merges_of("aaaa bc bc", 257 + 2), (std::vector<std::string>{"a+a", "b+c"}));
  EXPECT_EQ(merges_of("aaaa", 257 + 2), (std::vector<std::string>{"a+a", "aa+aa"}));
}

TEST(TrainBpe, StopsIfEveryWordIsOneToken) {
  EXPECT_EQ(merges_of("abc abc", 1000).size(), 3U);
}

TEST(TrainBpe, MakesATokenizerThatKeepsEveryText) {
  const TemporaryFolder folder;
  std::string text;
  for (int i = 0; i < 300; ++i) {
    text += "the number " + std::to_string(i) + " is naïve;\n";
  }
  const std::vector<std::string_view> texts = {text};
  folder.write("tokenizer.json", train_bpe(texts, 300));
  const Tokenizer tokenizer = Tokenizer::load(folder.path());
  EXPECT_EQ(tokenizer.vocab_size(), 300);
  EXPECT_EQ(tokenizer.end_token(), 299);
  const auto ids = tokenizer.encode(text);
  EXPECT_LT(ids.size(), text.size() / 2);
  EXPECT_EQ(tokenizer.decode(ids), text);
  const std::string other = "Κόσμε 🙂\r\n\t\x01";
  EXPECT_EQ(tokenizer.decode(tokenizer.encode(other)), other);
}

TEST(TrainBpe, RefusesVocabulariesWithoutAllBytes) {
  const std::vector<std::string_view> texts = {"a"};
  EXPECT_EQ(
      refusal_of([&] { train_bpe(texts, 256); }),
      "a byte-level tokenizer has 257 tokens (all bytes and the end of a text) to 16777216, but 256 are asked for");
}

}  // namespace
}  // namespace hessian::tests
