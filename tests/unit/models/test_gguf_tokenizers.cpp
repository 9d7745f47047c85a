#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "fixtures.h"
#include "gguf_support.h"
#include "hessian/models/tokenizer.h"
#include "refusal.h"

using hessian::models::Tokenizer;
using hessian::support::fixture_path;
using hessian::support::GgufWriter;
using hessian::support::refusal_about;
using hessian::support::TemporaryFolder;
using testing::StartsWith;

namespace hessian::tests {
namespace {

using Ids = std::vector<std::int32_t>;

enum TokenType : std::int32_t { normal = 1, unknown, control, user_defined, unused, byte };

Tokenizer load(const GgufWriter& writer) {
  const TemporaryFolder folder;
  return Tokenizer::load(folder.write("a.gguf", writer.bytes()));
}

nlohmann::json json_of(const std::string& path) {
  return nlohmann::json::parse(support::read_file(fixture_path("tokenizers/" + path)));
}

/// Returns a GGUF file with the byte-level BPE of a fixture, as llama.cpp's converter writes it.
GgufWriter gguf_of_json(const std::string& name, const std::string& pre) {
  const auto json = json_of(name + "/tokenizer.json");
  std::vector<std::string> tokens(json["model"]["vocab"].size());
  for (const auto& [token, id] : json["model"]["vocab"].items()) {
    tokens.at(id.get<std::size_t>()) = token;
  }
  std::vector<std::int32_t> types(tokens.size(), normal);
  GgufWriter writer;
  for (const auto& added : json["added_tokens"]) {
    const auto id = added["id"].get<std::size_t>();
    tokens.resize(std::max(tokens.size(), id + 1));
    types.resize(tokens.size(), unused);
    tokens[id] = added["content"].get<std::string>();
    types[id] = added["special"].get<bool>() ? control : user_defined;
    if (tokens[id] == "<|begin_of_text|>" || tokens[id] == "<|im_start|>") {
      writer.number("tokenizer.ggml.bos_token_id", static_cast<std::uint32_t>(id));
    } else if (tokens[id] == "<|eot_id|>" || tokens[id] == "<|im_end|>") {
      writer.number("tokenizer.ggml.eos_token_id", static_cast<std::uint32_t>(id));
    }
  }
  std::vector<std::string> merges;
  for (const auto& merge : json["model"]["merges"]) {
    merges.push_back(merge[0].get<std::string>() + " " + merge[1].get<std::string>());
  }
  writer.text("tokenizer.ggml.model", "gpt2");
  writer.text("tokenizer.ggml.pre", pre);
  writer.texts("tokenizer.ggml.tokens", tokens);
  writer.numbers("tokenizer.ggml.token_type", types);
  writer.texts("tokenizer.ggml.merges", merges);
  return writer;
}

/// Reads fields of a message of protocol buffers, as far as the models of sentencepiece have them.
struct ProtobufReader {
  std::string_view bytes;

  std::uint64_t varint() {
    std::uint64_t value = 0;
    for (unsigned shift = 0;; shift += 7) {
      const auto byte = static_cast<unsigned char>(bytes.front());
      bytes.remove_prefix(1);
      value |= static_cast<std::uint64_t>(byte & 0x7fU) << shift;
      if (byte < 0x80) {
        return value;
      }
    }
  }
  std::string_view take(std::size_t size) {
    const auto taken = bytes.substr(0, size);
    bytes.remove_prefix(size);
    return taken;
  }
};

/// Returns a GGUF file with the tokens of a model of sentencepiece.
GgufWriter gguf_of_sentencepiece(const std::string& name) {
  const std::string model = support::read_file(fixture_path("tokenizers/" + name + "/tokenizer.model"));
  std::vector<std::string> tokens;
  std::vector<float> scores;
  std::vector<std::int32_t> types;
  for (ProtobufReader reader{model}; !reader.bytes.empty();) {
    const auto field = reader.varint();
    const auto message = reader.take(reader.varint());
    if (field != (1U << 3U | 2U)) {
      continue;
    }
    tokens.emplace_back();
    scores.push_back(0);
    types.push_back(normal);
    for (ProtobufReader piece{message}; !piece.bytes.empty();) {
      const auto tag = piece.varint();
      if (tag >> 3U == 1) {
        tokens.back() = piece.take(piece.varint());
      } else if (tag >> 3U == 2) {
        std::memcpy(&scores.back(), piece.take(sizeof(float)).data(), sizeof(float));
      } else {
        types.back() = static_cast<std::int32_t>(piece.varint());
      }
    }
  }
  GgufWriter writer;
  writer.text("tokenizer.ggml.model", "llama");
  writer.texts("tokenizer.ggml.tokens", tokens);
  writer.reals("tokenizer.ggml.scores", scores);
  writer.numbers("tokenizer.ggml.token_type", types);
  return writer;
}

void expect_reference_ids(const Tokenizer& tokenizer, const std::string& name) {
  const auto cases = json_of(name + "/cases.json");
  ASSERT_GE(cases.size(), 190U);
  for (const auto& item : cases) {
    const auto text = item["text"].get<std::string>();
    EXPECT_EQ(tokenizer.encode(text), item["ids"].get<Ids>()) << name << " " << item["text"].dump(-1, ' ', true);
    EXPECT_EQ(tokenizer.encode_with_special(text), item["ids_with_special"].get<Ids>());
  }
}

// The reference ids are those of the tokenizers that the files are made of.
TEST(GgufTokenizers, OfBytesGiveEveryIdOfTheirSource) {
  expect_reference_ids(load(gguf_of_json("gpt2", "gpt-2")), "gpt2");
  expect_reference_ids(load(gguf_of_json("llama3", "llama-bpe")), "llama3");
  expect_reference_ids(load(gguf_of_json("qwen2", "qwen2")), "qwen2");
  expect_reference_ids(load(gguf_of_json("smollm", "smollm")), "smollm");
}

TEST(GgufTokenizers, OfSentencePieceGiveEveryIdOfTheirSource) {
  const Tokenizer tokenizer = load(gguf_of_sentencepiece("sp_bpe"));
  expect_reference_ids(tokenizer, "sp_bpe");
  EXPECT_EQ(tokenizer.decode(tokenizer.encode("In the  beginning\n\u6f22")), "In the  beginning\n\u6f22");
  EXPECT_EQ(tokenizer.description(), "a.gguf (sentencepiece)");
}

TEST(GgufTokenizers, KnowTheTokensThatBeginAndEndAText) {
  const auto tokens = [](const Tokenizer& tokenizer) {
    return std::pair(tokenizer.begin_token().value_or(-1), tokenizer.end_token().value_or(-1));
  };
  EXPECT_EQ(tokens(load(gguf_of_json("llama3", "llama-bpe"))), std::pair(1204, 1205))
      << "<|end_of_text|> ends a document, <|eot_id|> a turn of a chat";
  EXPECT_EQ(tokens(load(gguf_of_json("qwen2", "qwen2"))), std::pair(701, 700));
  EXPECT_EQ(tokens(load(gguf_of_json("gpt2", "gpt-2"))), std::pair(-1, 1000));
  EXPECT_EQ(tokens(load(gguf_of_sentencepiece("sp_bpe"))), std::pair(1, 2));
  EXPECT_EQ(tokens(Tokenizer::load(fixture_path("formats/gguf_q8_0/model-Q8_0.gguf"))), std::pair(1, 2));
}

TEST(GgufTokenizers, PutTheTokensAroundATextThatTheFileAsksFor) {
  GgufWriter writer = gguf_of_json("qwen2", "qwen2");
  const Ids inside = load(writer).encode("In the");
  EXPECT_EQ(load(writer).encode_with_special("In the"), inside);
  writer.flag("tokenizer.ggml.add_bos_token", true);
  writer.flag("tokenizer.ggml.add_eos_token", true);
  Ids framed = {701};
  framed.insert(framed.end(), inside.begin(), inside.end());
  framed.push_back(702);
  EXPECT_EQ(load(writer).encode_with_special("In the"), framed);
  writer = gguf_of_sentencepiece("sp_bpe");
  writer.flag("tokenizer.ggml.add_bos_token", false);
  EXPECT_EQ(load(writer).encode_with_special("In the"), load(writer).encode("In the"));
}

TEST(GgufTokenizers, DivideNumbersIntoThreesIfTheFileDoesNotNameItsExpression) {
  GgufWriter writer = gguf_of_json("gpt2", "gpt-2");
  const Tokenizer gpt2 = load(writer);
  writer.remove("tokenizer.ggml.pre");
  Ids expected;
  for (const char* word : {"In", " ", "123", "4", "!", " the"}) {
    const Ids ids = gpt2.encode(word);
    expected.insert(expected.end(), ids.begin(), ids.end());
  }
  EXPECT_EQ(load(writer).encode("In 1234! the"), expected);
}

TEST(GgufTokenizers, GiveEmptyTokensATextOfTheirOwn) {
  GgufWriter writer;
  writer.text("tokenizer.ggml.model", "gpt2");
  writer.texts("tokenizer.ggml.tokens", {"a", "", "", "b"});
  writer.texts("tokenizer.ggml.merges", {});
  const Tokenizer tokenizer = load(writer);
  EXPECT_EQ(tokenizer.encode("ab"), (Ids{0, 3}));
  EXPECT_EQ(tokenizer.vocab_size(), 4);
}

TEST(GgufTokenizers, AreIdentifiedByTheHeaderAlone) {
  GgufWriter writer = gguf_of_json("gpt2", "gpt-2");
  writer.tensors = {{"x", {2}, 0, std::string(8, '\0')}};
  const auto digest = load(writer).digest();
  writer.tensors.front().data[0] = '\x01';
  EXPECT_EQ(load(writer).digest(), digest);
  writer.text("tokenizer.ggml.pre", "smollm");
  EXPECT_NE(load(writer).digest(), digest);
}

template <typename Change>
std::string refusal_after(GgufWriter writer, const Change& change) {
  change(writer);
  const TemporaryFolder folder;
  const std::string path = folder.write("a.gguf", writer.bytes());
  return refusal_about(path, [&] { Tokenizer::load(path); });
}

TEST(GgufTokenizers, RefuseKindsAndExpressionsByName) {
  const GgufWriter gpt2 = gguf_of_json("gpt2", "gpt-2");
  EXPECT_EQ(refusal_after(gpt2, [](GgufWriter& writer) { writer.text("tokenizer.ggml.model", "bert"); }),
            "'tokenizer.ggml.model' is 'bert', which is not supported; supported are gpt2, llama");
  EXPECT_EQ(refusal_after(gpt2, [](GgufWriter& writer) { writer.remove("tokenizer.ggml.model"); }),
            "the metadata has no 'tokenizer.ggml.model'");
  EXPECT_THAT(refusal_after(gpt2, [](GgufWriter& writer) { writer.text("tokenizer.ggml.pre", "viking"); }),
              StartsWith("'tokenizer.ggml.pre' is 'viking', which is not supported; supported are gpt-2, smollm, "));
}

TEST(GgufTokenizers, RefuseBadTokens) {
  const GgufWriter gpt2 = gguf_of_json("gpt2", "gpt-2");
  EXPECT_EQ(refusal_after(gpt2, [](GgufWriter& writer) { writer.remove("tokenizer.ggml.tokens"); }),
            "the metadata has no 'tokenizer.ggml.tokens'");
  EXPECT_EQ(refusal_after(gpt2, [](GgufWriter& writer) { writer.texts("tokenizer.ggml.tokens", {}); }),
            "'tokenizer.ggml.tokens' has 0 tokens, expected 1 to 2147483646");
  EXPECT_EQ(refusal_after(gpt2,
                          [](GgufWriter& writer) {
                            writer.numbers("tokenizer.ggml.token_type", {1, 1});
                          }),
            "'tokenizer.ggml.token_type' has 2 entries, but there are 1001 tokens");
  EXPECT_EQ(refusal_after(gpt2,
                          [](GgufWriter& writer) {
                            writer.texts("tokenizer.ggml.tokens", {"a", "b", "a"});
                            writer.remove("tokenizer.ggml.token_type");
                          }),
            "tokens 0 and 2 are both 'a'");
  EXPECT_EQ(refusal_after(gpt2,
                          [](GgufWriter& writer) {
                            writer.texts("tokenizer.ggml.tokens", {"a", "b"});
                            writer.numbers("tokenizer.ggml.token_type", {1, 7});
                          }),
            "the type of token 1 is 7, expected 1 to 6");
  EXPECT_EQ(refusal_after(gpt2, [](GgufWriter& writer) { writer.number("tokenizer.ggml.bos_token_id", 1001); }),
            "'tokenizer.ggml.bos_token_id' is 1001, but there are 1001 tokens");
  EXPECT_EQ(refusal_after(gpt2, [](GgufWriter& writer) { writer.flag("tokenizer.ggml.add_bos_token", true); }),
            "'tokenizer.ggml.add_bos_token' is true, but the file does not say which token that is");
  EXPECT_EQ(refusal_after(gpt2, [](GgufWriter& writer) { writer.texts("tokenizer.ggml.merges", {"ab"}); }),
            "'tokenizer.ggml.merges' has 'ab' in it, expected two tokens with a space between them");
  EXPECT_EQ(refusal_after(gpt2, [](GgufWriter& writer) { writer.texts("tokenizer.ggml.merges", {"a none"}); }),
            "a merge has the token 'none', which is not in the vocabulary");
  const GgufWriter sentencepiece = gguf_of_sentencepiece("sp_bpe");
  EXPECT_EQ(refusal_after(sentencepiece, [](GgufWriter& writer) { writer.remove("tokenizer.ggml.scores"); }),
            "the metadata has no 'tokenizer.ggml.scores'");
  EXPECT_THAT(refusal_after(sentencepiece, [](GgufWriter& writer) { writer.reals("tokenizer.ggml.scores", {1}); }),
              StartsWith("'tokenizer.ggml.scores' has 1 entries, but there are "));
}

}  // namespace
}  // namespace hessian::tests
