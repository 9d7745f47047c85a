#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "fixtures.h"
#include "hessian/models/tokenizer.h"
#include "loader_support.h"
#include "refusal.h"

using hessian::models::Tokenizer;
using hessian::support::fixture_path;
using hessian::support::refusal_of;
using hessian::support::TemporaryFolder;

namespace hessian::tests {
namespace {

using Ids = std::vector<std::int32_t>;

/// The strings of a fixture with the ids of the library that defines the tokenizer's kind.
nlohmann::json cases_of(const std::string& name) {
  return nlohmann::json::parse(support::read_file(fixture_path("tokenizers/" + name + "/cases.json")));
}

Tokenizer load_fixture(const std::string& name) {
  return Tokenizer::load(fixture_path("tokenizers/" + name));
}

class ReferenceTokenizers : public testing::TestWithParam<const char*> {};

TEST_P(ReferenceTokenizers, GiveEveryIdOfTheirLibrary) {
  const Tokenizer tokenizer = load_fixture(GetParam());
  const auto cases = cases_of(GetParam());
  ASSERT_GE(cases.size(), 190U);
  for (const auto& item : cases) {
    const auto text = item["text"].get<std::string>();
    EXPECT_EQ(tokenizer.encode(text), item["ids"].get<Ids>()) << item["text"].dump(-1, ' ', true);
    EXPECT_EQ(tokenizer.encode_with_special(text), item["ids_with_special"].get<Ids>());
  }
}

TEST_P(ReferenceTokenizers, GiveTheSameIdsInParallel) {
  const Tokenizer tokenizer = load_fixture(GetParam());
  std::vector<std::string> texts;
  std::vector<Ids> expected;
  for (const auto& item : cases_of(GetParam())) {
    texts.push_back(item["text"].get<std::string>());
    expected.push_back(item["ids"].get<Ids>());
  }
  const std::vector<std::string_view> views(texts.begin(), texts.end());
  EXPECT_EQ(tokenizer.encode_all(views, 4), expected);
}

TEST_P(ReferenceTokenizers, KeepTheTextOfTokensThatAreBytes) {
  const std::string name = GetParam();
  const Tokenizer tokenizer = load_fixture(name);
  // NFC and Metaspace change texts, and sentencepiece's normalization does, too.
  const bool is_exact = name == "gpt2" || name == "llama3" || name == "llama3_tiktoken" || name == "smollm";
  std::size_t changed = 0;
  for (const auto& item : cases_of(name)) {
    const auto text = item["text"].get<std::string>();
    changed += tokenizer.decode(tokenizer.encode(text)) == text ? 0 : 1;
  }
  EXPECT_LE(changed, is_exact ? 0U : name == "sp_unigram" ? 119U : 17U);
}

// A megabyte without a space is one word. The merges of equal letters are the worst case of a queue of merges.
TEST_P(ReferenceTokenizers, EncodeAMillionEqualLetters) {
  const Tokenizer tokenizer = load_fixture(GetParam());
  const std::string text(1'000'000, 'a');
  const Ids ids = tokenizer.encode(text);
  EXPECT_GE(ids.size(), 100'000U);
  EXPECT_EQ(tokenizer.decode(ids), text);
}

INSTANTIATE_TEST_SUITE_P(All, ReferenceTokenizers,
                         testing::Values("gemma", "gpt2", "gpt_neox", "llama2", "llama3", "llama3_tiktoken",
                                         "metaspace", "qwen2", "smollm", "sp_bpe", "sp_unigram"),
                         [](const auto& info) { return std::string(info.param); });

TEST(Tokenizers, KnowTheTokensThatBeginAndEndATextByTheirNames) {
  const auto tokens = [](const std::string& name) {
    const Tokenizer tokenizer = load_fixture(name);
    return std::pair(tokenizer.begin_token().value_or(-1), tokenizer.end_token().value_or(-1));
  };
  EXPECT_EQ(tokens("llama3"), std::pair(1204, 1205));
  EXPECT_EQ(tokens("llama3_tiktoken"), std::pair(1100, 1101));
  EXPECT_EQ(tokens("gemma"), std::pair(2, 1));
  EXPECT_EQ(tokens("llama2"), std::pair(1, 2));
  EXPECT_EQ(tokens("gpt2"), std::pair(1000, 1000));
  EXPECT_EQ(tokens("sp_bpe"), std::pair(1, 2));
}

TEST(Tokenizers, TakeTheNamesOfTheseTokensFromTheFilesNextToThem) {
  const TemporaryFolder folder;
  folder.write("tokenizer.json", support::read_file(fixture_path("tokenizers/qwen2/tokenizer.json")));
  EXPECT_EQ(Tokenizer::load(folder.path()).begin_token(), 700);
  folder.write("tokenizer_config.json", R"({"bos_token": null, "eos_token": {"content": "<|im_end|>"}})");
  const Tokenizer tokenizer = Tokenizer::load(folder.path());
  EXPECT_EQ(tokenizer.begin_token(), std::nullopt);
  EXPECT_EQ(tokenizer.end_token(), 700) << "<|im_end|> ends a turn of a chat, not a document";
  EXPECT_EQ(tokenizer.files().size(), 2U);
  const auto digest = tokenizer.digest();
  folder.write("tokenizer_config.json", R"({"bos_token": "<|im_start|>"})");
  EXPECT_EQ(Tokenizer::load(folder.path()).begin_token(), 701);
  EXPECT_NE(Tokenizer::load(folder.path()).digest(), digest);
}

// sentencepiece joins unknown characters in quadratic time. A long text has to have the ids that its lines have.
TEST(Tokenizers, JoinUnknownCharactersOfALongSentencePieceText) {
  const Tokenizer tokenizer = load_fixture("sp_unigram");
  const std::string line =
      "In the \u6f22\u5b57\u304b\u3099\u6f22 of \u00e9\u0436\u0301\u0416\ufb01 \U0001f642\U0001f642 God";
  const Ids expected = tokenizer.encode(line);
  std::string text = line;
  Ids ids = expected;
  while (text.size() < 100'000) {
    text += "\n" + line;
    ids.insert(ids.end(), expected.begin(), expected.end());
  }
  EXPECT_EQ(tokenizer.encode(text), ids);
  std::string unknown;
  for (int i = 0; i < 300'000; ++i) {
    unknown += i % 2 == 0 ? "\u6f22" : "\u5b57";
  }
  EXPECT_EQ(tokenizer.encode(unknown), tokenizer.encode("\u6f22\u5b57"));
}

TEST(Tokenizers, RefuseInvalidUtf8WithItsPosition) {
  const Tokenizer tokenizer = load_fixture("gpt2");
  EXPECT_EQ(refusal_of([&] { tokenizer.encode("two\xfftwo"); }), "not UTF-8 text (byte 3 is 0xff)");
}

TEST(Tokenizers, RefuseIdsThatNoTokenHas) {
  for (const char* name : {"gpt2", "llama3_tiktoken", "sp_bpe"}) {
    const Tokenizer tokenizer = load_fixture(name);
    const auto size = static_cast<std::int32_t>(tokenizer.vocab_size());
    const std::string range = " is not in the vocabulary (ids 0 to " + std::to_string(size - 1) + ")";
    EXPECT_TRUE(refusal_of([&] { tokenizer.decode(Ids{size}); }).ends_with("the id " + std::to_string(size) + range));
    EXPECT_TRUE(refusal_of([&] { tokenizer.decode(Ids{-1}); }).ends_with("the id -1" + range));
  }
}

}  // namespace
}  // namespace hessian::tests
