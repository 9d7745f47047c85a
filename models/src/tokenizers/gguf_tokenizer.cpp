#include "tokenizers/gguf_tokenizer.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "io/messages.h"
#include "tokenizers/gguf_bpe.h"
#include "tokenizers/gguf_vocabulary.h"
#include "tokenizers/sentencepiece_model.h"

namespace hessian::models {
namespace {

/// A message in the binary form of protocol buffers, to be written field by field.
class ProtobufMessage {
 public:
  void add(unsigned field, std::uint64_t value) {
    add_varint(field << 3U);
    add_varint(value);
  }
  void add(unsigned field, float value) {
    constexpr unsigned fixed32 = 5;
    add_varint(field << 3U | fixed32);
    char bytes[sizeof(value)];
    std::memcpy(bytes, &value, sizeof(value));
    bytes_.append(bytes, sizeof(value));
  }
  void add(unsigned field, const std::string& value) {
    constexpr unsigned delimited = 2;
    add_varint(field << 3U | delimited);
    add_varint(value.size());
    bytes_ += value;
  }
  void add(unsigned field, const ProtobufMessage& value) { add(field, value.bytes_); }

  const std::string& bytes() const { return bytes_; }

 private:
  void add_varint(std::uint64_t value) {
    while (value > 0x7f) {
      bytes_ += static_cast<char>(0x80U | (value & 0x7fU));
      value >>= 7U;
    }
    bytes_ += static_cast<char>(value);
  }

  std::string bytes_;
};

std::vector<double> read_scores(const GgufMetadata& metadata, std::size_t count) {
  constexpr const char* key = "tokenizer.ggml.scores";
  auto scores = metadata.required(metadata.numbers(key), key);
  if (scores.size() != count) {
    fail(metadata.source(), "'{}' has {} entries, but there are {} tokens", key, scores.size(), count);
  }
  if (!std::ranges::all_of(scores, [](double score) { return std::isfinite(score); })) {
    fail(metadata.source(), "'{}' has numbers that are not finite", key);
  }
  return scores;
}

/// Returns the model of sentencepiece that a GGUF file was made of, as its library reads it. Fields have the numbers of
/// google/sentencepiece, src/sentencepiece_model.proto.
std::string sentencepiece_model(const GgufMetadata& metadata, const GgufVocabulary& vocabulary) {
  ProtobufMessage model;
  const auto scores = read_scores(metadata, vocabulary.tokens.size());
  bool has_bytes = false;
  for (std::size_t id = 0; id < vocabulary.tokens.size(); ++id) {
    const GgufToken& token = vocabulary.tokens[id];
    ProtobufMessage piece;
    piece.add(1, token.text);
    piece.add(2, static_cast<float>(scores[id]));
    piece.add(3, static_cast<std::uint64_t>(token.type));
    model.add(1, piece);
    has_bytes = has_bytes || token.type == GgufTokenType::byte;
  }
  constexpr std::uint64_t bpe = 2;
  ProtobufMessage training;
  training.add(3, bpe);
  training.add(35, std::uint64_t{has_bytes});
  if (vocabulary.begin) {
    training.add(46, vocabulary.tokens[static_cast<std::size_t>(*vocabulary.begin)].text);
  }
  if (vocabulary.end) {
    training.add(47, vocabulary.tokens[static_cast<std::size_t>(*vocabulary.end)].text);
  }
  model.add(2, training);
  ProtobufMessage normalization;
  normalization.add(1, std::string("identity"));
  normalization.add(3, std::uint64_t{metadata.flag("tokenizer.ggml.add_space_prefix").value_or(true)});
  normalization.add(4, std::uint64_t{metadata.flag("tokenizer.ggml.remove_extra_whitespaces").value_or(false)});
  model.add(3, normalization);
  return model.bytes();
}

}  // namespace

GgufTokenizer parse_gguf_tokenizer(const GgufMetadata& metadata) {
  constexpr const char* key = "tokenizer.ggml.model";
  const std::string kind = metadata.required(metadata.text(key), key);
  if (kind != "gpt2" && kind != "llama") {
    fail(metadata.source(), "'{}' is {}, which is not supported; supported are gpt2, llama", key, name_text(kind));
  }
  GgufVocabulary vocabulary = read_gguf_vocabulary(metadata);
  if (kind == "llama" && vocabulary.tokens.size() > 2) {
    // Those of Llama, if the file does not say.
    vocabulary.begin = vocabulary.begin.value_or(1);
    vocabulary.end = vocabulary.end.value_or(2);
  }
  GgufTokenizer result{.encoder = nullptr, .begin = vocabulary.begin, .end = vocabulary.end};
  if (kind == "gpt2") {
    result.encoder = parse_gguf_bpe(metadata, vocabulary);
  } else {
    result.encoder = parse_sentencepiece(sentencepiece_model(metadata, vocabulary), metadata.source(),
                                         read_gguf_frame(metadata, vocabulary, /*adds_begin=*/true));
  }
  return result;
}

}  // namespace hessian::models
