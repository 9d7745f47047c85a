#include <gtest/gtest.h>

#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "fixtures.h"
#include "hessian/models/tokenizer.h"
#include "loader_support.h"
#include "refusal.h"

using hessian::models::Tokenizer;
using hessian::support::fixture_path;
using hessian::support::refusal_about;
using hessian::support::refusal_of;
using hessian::support::TemporaryFolder;

namespace hessian::tests {
namespace {

using Ids = std::vector<std::int32_t>;

nlohmann::json gpt2_json() {
  return nlohmann::json::parse(support::read_file(fixture_path("tokenizers/gpt2/tokenizer.json")));
}

/// Writes GPT-2's two files with the contents of the fixture.
void write_vocab_merges(const TemporaryFolder& folder) {
  const auto json = gpt2_json();
  auto vocab = json["model"]["vocab"];
  vocab["<|endoftext|>"] = 1000;
  folder.write("vocab.json", vocab.dump());
  std::string merges = "#version: 0.2\n";
  for (const auto& merge : json["model"]["merges"]) {
    merges += merge[0].get<std::string>() + " " + merge[1].get<std::string>() + "\n";
  }
  folder.write("merges.txt", merges);
}

/// Returns how a tokenizer.json is refused after a change.
template <typename Change>
std::string json_refusal(const Change& change) {
  const TemporaryFolder folder;
  auto json = gpt2_json();
  change(json);
  const std::string path = folder.write("tokenizer.json", json.dump());
  return refusal_about(path, [&] { Tokenizer::load(folder.path()); });
}

TEST(TokenizerFiles, ReadsTheTwoFilesOfGpt2) {
  const TemporaryFolder folder;
  write_vocab_merges(folder);
  const Tokenizer tokenizer = Tokenizer::load(folder.path());
  const Tokenizer reference = Tokenizer::load(fixture_path("tokenizers/gpt2"));
  const auto cases = nlohmann::json::parse(support::read_file(fixture_path("tokenizers/gpt2/cases.json")));
  for (const auto& item : cases) {
    EXPECT_EQ(tokenizer.encode(item["text"].get<std::string>()), item["ids"].get<Ids>());
  }
  EXPECT_EQ(tokenizer.end_token(), 1000);
  EXPECT_EQ(tokenizer.vocab_size(), 1001);
  EXPECT_EQ(Tokenizer::load(folder / "merges.txt").digest(), tokenizer.digest());
}

TEST(TokenizerFiles, ReadsTheCharactersOfNanoGpt) {
  const TemporaryFolder folder;
  // pickle.dumps({"vocab_size": 3, "stoi": {"\n": 0, "a": 1, "é": 2}}, protocol=4)
  const std::string pickle(
      "\x80\x04\x95\x32\x00\x00\x00\x00\x00\x00\x00}\x94(\x8c\x0avocab_size\x94K\x03\x8c\x04stoi\x94}\x94(\x8c\x01\x0a"
      "\x94K\x00\x8c\x01"
      "a\x94K\x01\x8c\x02\xc3\xa9\x94K\x02uu.",
      0x32 + 11);
  folder.write("meta.pkl", pickle);
  const Tokenizer tokenizer = Tokenizer::load(folder.path());
  EXPECT_EQ(tokenizer.encode("aé\na"), (Ids{1, 2, 0, 1}));
  EXPECT_EQ(tokenizer.decode(Ids{1, 2, 0, 1}), "aé\na");
  EXPECT_EQ(tokenizer.vocab_size(), 3);
  EXPECT_EQ(refusal_about(folder / "meta.pkl", [&] { tokenizer.encode("aab"); }),
            "the character U+0062 at byte 2 of the text is not among the 3 characters of the vocabulary");
}

TEST(TokenizerFiles, PrefersTokenizerJson) {
  const TemporaryFolder folder;
  folder.write("tokenizer.model", support::read_file(fixture_path("tokenizers/sp_bpe/tokenizer.model")));
  EXPECT_EQ(Tokenizer::find(folder.path()), folder / "tokenizer.model");
  EXPECT_EQ(Tokenizer::load(folder.path()).description(), "tokenizer.model (sentencepiece)");
  folder.write("tokenizer.json", gpt2_json().dump());
  EXPECT_EQ(Tokenizer::load(folder.path()).description(), "tokenizer.json (BPE)");
}

TEST(TokenizerFiles, SaysWhatIsMissing) {
  const TemporaryFolder folder;
  EXPECT_EQ(Tokenizer::find(folder.path()), std::nullopt);
  EXPECT_EQ(refusal_about(folder.path(), [&] { Tokenizer::load(folder.path()); }),
            "has no tokenizer (tokenizer.json, tokenizer.model, vocab.json with merges.txt, or meta.pkl)");
  write_vocab_merges(folder);
  std::filesystem::remove(folder / "merges.txt");
  EXPECT_EQ(refusal_about(folder / "merges.txt", [&] { Tokenizer::load(folder.path()); }),
            "no such file; the vocabulary in vocab.json needs its merges");
  EXPECT_EQ(json_refusal([](auto& json) { json["model"].erase("merges"); }), "the model 'BPE' has no 'merges'");
  EXPECT_EQ(json_refusal([](auto& json) { json.erase("model"); }), "is not a tokenizer: it has no 'model'");
}

TEST(TokenizerFiles, NamesComponentsThatAreNotSupported) {
  EXPECT_EQ(json_refusal([](auto& json) { json["model"]["type"] = "WordPiece"; }),
            "the model 'WordPiece' is not supported; supported are BPE, Unigram");
  EXPECT_EQ(json_refusal([](auto& json) {
              json["normalizer"] = {{"type", "BertNormalizer"}};
            }),
            "the normalizer 'BertNormalizer' is not supported; supported are NFC, NFD, NFKC, NFKD, Lowercase, Prepend, "
            "Replace, Strip, ByteLevel, Sequence");
  EXPECT_EQ(json_refusal([](auto& json) {
              json["pre_tokenizer"] = {{"type", "Sequence"}, {"pretokenizers", {{{"type", "UnicodeScripts"}}}}};
            }),
            "the pre-tokenizer 'UnicodeScripts' is not supported; supported are ByteLevel, Split, Digits, Metaspace, "
            "Whitespace, WhitespaceSplit, Punctuation, Sequence");
  EXPECT_EQ(json_refusal([](auto& json) {
              json["post_processor"] = {{"type", "Other"}};
            }),
            "the post-processor 'Other' is not supported; supported are ByteLevel, TemplateProcessing, "
            "RobertaProcessing, BertProcessing, Sequence");
  EXPECT_EQ(json_refusal([](auto& json) { json["model"]["dropout"] = 0.1; }),
            "the model 'BPE' has a dropout of 0.1, which makes tokens random; only 0 is supported");
  EXPECT_EQ(json_refusal([](auto& json) {
              json["pre_tokenizer"] = {
                  {"type", "Split"}, {"pattern", {{"Regex", "[a&&b]"}}}, {"behavior", "Isolated"}, {"invert", false}};
            }),
            "the regular expression '[a&&b]' is not supported: it combines classes of characters");
}

TEST(TokenizerFiles, RefusesVocabulariesThatContradictThemselves) {
  EXPECT_EQ(json_refusal([](auto& json) {
              json["model"]["merges"].push_back({"th", "zzz"});
            }),
            "a merge has the token 'zzz', which is not in the vocabulary");
  EXPECT_EQ(json_refusal([](auto& json) { json["model"]["merges"][0] = "t h e"; }),
            "the model 'BPE' has the merge \"t h e\", expected two tokens");
  EXPECT_EQ(json_refusal([](auto& json) { json["model"]["vocab"]["!"] = -1; }),
            "the id of the token '!' is -1, expected a number from 0 to 2147483646");
  const TemporaryFolder folder;
  const std::string path = folder.write("tokenizer.model", "YQ== 0\nYg== 0\n");
  EXPECT_EQ(refusal_about(path, [&] { Tokenizer::load(path); }), "line 2 repeats a token or a rank");
  folder.write("tokenizer.model", "YQ== 0\nYg 1\n");
  EXPECT_EQ(refusal_about(path, [&] { Tokenizer::load(path); }),
            "line 2 is 'Yg 1', expected a token in base64 and its rank");
  folder.write("tokenizer.model", "YQ== 0\n");
  EXPECT_EQ(refusal_about(path, [&] { Tokenizer::load(path); }),
            "has no token of the byte 0x00; every byte has to have one");
}

TEST(TokenizerFiles, RefusesFilesOfAnotherKind) {
  const TemporaryFolder folder;
  const std::string path = folder.write("tokenizer.model", "no tokenizer at all");
  EXPECT_EQ(refusal_about(path, [&] { Tokenizer::load(path); }),
            "is not a tokenizer: neither a model of sentencepiece nor a list of tokens in base64");
  folder.write("tokenizer.model", "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n");
  EXPECT_EQ(refusal_about(path, [&] { Tokenizer::load(path); }),
            "is a Git LFS pointer, not the file itself; run `git lfs pull` in its folder");
}

TEST(TokenizerFiles, HaveTheNamesUnderWhichAFolderIsReadAgain) {
  const TemporaryFolder folder;
  const std::string json = folder.write("words.json", gpt2_json().dump());
  const std::string config = folder.write("tokenizer_config.json", "{}");
  const Tokenizer tokenizer = Tokenizer::load(json);
  EXPECT_EQ(tokenizer.files_by_name(),
            (std::map<std::string, std::string>{{"tokenizer.json", json}, {"tokenizer_config.json", config}}));
  std::filesystem::rename(json, folder / "tokenizer.json");
  EXPECT_EQ(Tokenizer::load(folder.path()).digest(), tokenizer.digest());
  const TemporaryFolder two;
  write_vocab_merges(two);
  EXPECT_EQ(
      Tokenizer::load(two / "merges.txt").files_by_name(),
      (std::map<std::string, std::string>{{"vocab.json", two / "vocab.json"}, {"merges.txt", two / "merges.txt"}}));
  const std::string model =
      folder.write("sp.model", support::read_file(fixture_path("tokenizers/sp_bpe/tokenizer.model")));
  EXPECT_EQ(Tokenizer::load(model).files_by_name().at("tokenizer.model"), model);
}

TEST(TokenizerFiles, RefusesSpecialTokensOfAnotherType) {
  const TemporaryFolder folder;
  folder.write("tokenizer.json", gpt2_json().dump());
  for (const std::string name : {"bos_token", "eos_token"}) {
    const std::string path = folder.write("tokenizer_config.json", "{\"" + name + "\": 5}");
    EXPECT_EQ(refusal_about(path, [&] { Tokenizer::load(folder.path()); }),
              "'" + name + "' is 5, expected the text of a token, an object with its 'content', or null");
  }
}

TEST(TokenizerFiles, AreNotNeededForBytes) {
  const Tokenizer bytes = Tokenizer::bytes();
  const std::string text("a\0\n\xc3\xa4", 5);
  EXPECT_EQ(bytes.encode(text), (Ids{97, 0, 10, 0xc3, 0xa4}));
  EXPECT_EQ(bytes.decode(bytes.encode(text)), text);
  EXPECT_EQ(bytes.vocab_size(), 256);
  EXPECT_EQ(bytes.end_token(), 10);
  EXPECT_EQ(refusal_of([&] { bytes.decode(Ids{256}); }), "the id 256 is not a byte");
}

TEST(TokenizerFiles, RefusesOtherTokenizersWithTheNamesOfGpt2) {
  const TemporaryFolder folder;
  write_vocab_merges(folder);
  const std::string path = folder.write("tokenizer_config.json", R"({"tokenizer_class": "CLIPTokenizer"})");
  EXPECT_TRUE(refusal_about(path, [&] {
                Tokenizer::load(folder.path());
              }).starts_with("names the tokenizer 'CLIPTokenizer', whose rules are not in vocab.json"));
  folder.write("tokenizer_config.json", R"({"tokenizer_class": "GPT2TokenizerFast"})");
  EXPECT_NO_THROW(Tokenizer::load(folder.path()));
}

}  // namespace
}  // namespace hessian::tests
