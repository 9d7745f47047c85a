#include "tokenizers/sentencepiece_model.h"

#include <sentencepiece_processor.h>

#include <utility>

#include "io/messages.h"

namespace hessian::models {
namespace {

class SentencePieceEncoder : public Encoder {
 public:
  SentencePieceEncoder(std::string_view bytes, std::string source) : source_(std::move(source)) {
    const auto status = processor_.LoadFromSerializedProto({bytes.data(), bytes.size()});
    if (!status.ok()) {
      fail(source_, "is not a tokenizer of sentencepiece (its library says {}) nor a list of tokens in base64",
           name_text(status.ToString()));
    }
  }

  void encode(std::string_view text, TokenIds& ids, WordCache& /*cache*/) const override {
    std::vector<int> encoded;
    const auto status = processor_.Encode({text.data(), text.size()}, &encoded);
    if (!status.ok()) {
      fail(source_, "sentencepiece cannot encode a text: {}", name_text(status.ToString()));
    }
    ids.insert(ids.end(), encoded.begin(), encoded.end());
  }

  std::string decode(std::span<const std::int32_t> ids) const override {
    for (const std::int32_t id : ids) {
      if (id < 0 || id >= vocab_size()) {
        fail(source_, "the id {} is not in the vocabulary (ids 0 to {})", id, vocab_size() - 1);
      }
    }
    std::string text;
    const auto status = processor_.Decode(std::vector<int>(ids.begin(), ids.end()), &text);
    if (!status.ok()) {
      fail(source_, "sentencepiece cannot decode ids: {}", name_text(status.ToString()));
    }
    return text;
  }

  std::int64_t vocab_size() const override { return processor_.GetPieceSize(); }

  std::optional<std::int32_t> find(std::string_view token) const override {
    const int id = processor_.PieceToId({token.data(), token.size()});
    return id >= 0 && id < vocab_size() && processor_.IdToPiece(id) == token ? std::optional(id) : std::nullopt;
  }

  Frame frame() const override {
    const int begin = processor_.bos_id();
    return begin < 0 ? Frame{} : Frame{{begin}, {}};
  }

  std::optional<std::int32_t> end_token() const override {
    const int end = processor_.eos_id();
    return end < 0 ? std::nullopt : std::optional(end);
  }

  std::string kind() const override { return "sentencepiece"; }

 private:
  std::string source_;
  sentencepiece::SentencePieceProcessor processor_;
};

}  // namespace

EncoderPointer parse_sentencepiece(std::string_view bytes, const std::string& source) {
  return std::make_unique<SentencePieceEncoder>(bytes, source);
}

}  // namespace hessian::models
