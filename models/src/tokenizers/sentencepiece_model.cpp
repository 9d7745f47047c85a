#include "tokenizers/sentencepiece_model.h"

#include <sentencepiece_processor.h>

#include <unordered_map>
#include <unordered_set>
#include <utility>

#include "io/messages.h"
#include "io/utf8.h"
#include "tokenizers/unicode.h"

namespace hessian::models {
namespace {

class SentencePieceEncoder : public Encoder {
 public:
  SentencePieceEncoder(std::string_view bytes, std::string source, std::optional<Frame> frame)
      : source_(std::move(source)), frame_(std::move(frame)) {
    const auto status = processor_.LoadFromSerializedProto({bytes.data(), bytes.size()});
    if (!status.ok()) {
      fail(source_, "is not a tokenizer: neither a model of sentencepiece nor a list of tokens in base64");
    }
    for (int id = 0; id < processor_.GetPieceSize(); ++id) {
      has_bytes_ = has_bytes_ || processor_.IsByte(id);
    }
    for (int id = 0; !has_bytes_ && id < processor_.GetPieceSize(); ++id) {
      const std::u32string characters = code_points(processor_.IdToPiece(id));
      known_.insert(characters.begin(), characters.end());
    }
  }

  void encode(std::string_view text, TokenIds& ids, WordCache& /*cache*/) const override {
    // The library joins unknown characters in a row in quadratic time.
    constexpr std::size_t long_text = std::size_t{1} << 15U;
    std::string shortened;
    if (text.size() > long_text && !has_bytes_) {
      shortened = with_short_unknown_runs(text);
      text = shortened;
    }
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
    if (frame_) {
      return *frame_;
    }
    const int begin = processor_.bos_id();
    return begin < 0 ? Frame{} : Frame{{begin}, {}};
  }

  std::optional<std::int32_t> end_token() const override {
    const int end = processor_.eos_id();
    return end < 0 ? std::nullopt : std::optional(end);
  }

  std::string kind() const override { return "sentencepiece"; }

 private:
  /// Whether a code point becomes an unknown token whatever stands next to it.
  bool is_unknown(char32_t code_point) const {
    if (code_point < 0x80 || known_.contains(code_point) || !is_normalized_alone(code_point)) {
      return false;
    }
    std::string text;
    append_utf8(code_point, text);
    std::vector<int> encoded;
    // The model's own normalization may still replace it by something known.
    return processor_.Encode(text, &encoded).ok() && !encoded.empty() && encoded.back() == processor_.unk_id();
  }

  /// Returns a text with the same ids: of unknown code points in a row, which are one token, it has the first only.
  std::string with_short_unknown_runs(std::string_view text) const {
    std::unordered_map<char32_t, bool> unknown;
    std::string result;
    bool in_run = false;
    for (std::size_t i = 0; i < text.size();) {
      const std::size_t length = utf8_length(text[i]);
      const char32_t code_point = first_code_point(text.substr(i));
      auto found = unknown.find(code_point);
      if (found == unknown.end()) {
        found = unknown.emplace(code_point, is_unknown(code_point)).first;
      }
      if (!found->second || !in_run) {
        result += text.substr(i, length);
      }
      in_run = found->second;
      i += length;
    }
    return result;
  }

  std::string source_;
  std::optional<Frame> frame_;
  sentencepiece::SentencePieceProcessor processor_;
  std::unordered_set<char32_t> known_;  // code points of all pieces; empty if has_bytes_
  bool has_bytes_ = false;              // unknown characters become bytes
};

}  // namespace

EncoderPointer parse_sentencepiece(std::string_view bytes, const std::string& source, std::optional<Frame> frame) {
  return std::make_unique<SentencePieceEncoder>(bytes, source, std::move(frame));
}

}  // namespace hessian::models
