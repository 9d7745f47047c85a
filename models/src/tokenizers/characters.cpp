#include "tokenizers/characters.h"

#include <limits>
#include <unordered_map>
#include <utility>

#include "io/messages.h"
#include "io/utf8.h"
#include "pickle/pickle.h"
#include "tokenizers/vocabulary.h"

namespace hessian::models {
namespace {

class CharacterEncoder : public Encoder {
 public:
  CharacterEncoder(Vocabulary vocabulary, std::string source)
      : vocabulary_(std::move(vocabulary)), source_(std::move(source)) {}

  void encode(std::string_view text, TokenIds& ids, WordCache& /*cache*/) const override {
    for (std::size_t i = 0; i < text.size();) {
      const std::string_view character = text.substr(i, utf8_length(text[i]));
      const auto id = vocabulary_.find(character);
      if (!id) {
        fail(source_, "the character U+{:04X} at byte {} of the text is not among the {} characters of the vocabulary",
             static_cast<std::uint32_t>(first_code_point(character)), i, vocabulary_.size());
      }
      ids.push_back(*id);
      i += character.size();
    }
  }

  std::string decode(std::span<const std::int32_t> ids) const override {
    std::string text;
    for (const std::int32_t id : ids) {
      const std::string* character = vocabulary_.text(id);
      if (character == nullptr) {
        fail(source_, "the id {} is not in the vocabulary (ids 0 to {})", id, vocab_size() - 1);
      }
      text += *character;
    }
    return text;
  }

  std::int64_t vocab_size() const override { return vocabulary_.end_id(); }
  std::optional<std::int32_t> find(std::string_view token) const override { return vocabulary_.find(token); }
  std::string kind() const override { return "characters"; }

 private:
  Vocabulary vocabulary_;
  std::string source_;
};

}  // namespace

EncoderPointer parse_character_pickle(std::span<const std::byte> bytes, const std::string& source) {
  const Pickle pickle = Pickle::parse(bytes, source);
  const auto stoi = pickle.is_dict(pickle.root()) ? pickle.find(pickle.root(), "stoi") : std::nullopt;
  if (!stoi || !pickle.is_dict(*stoi)) {
    fail(source, "is not the meta.pkl of a character-level data set: it has no dict 'stoi' of characters and ids");
  }
  Vocabulary vocabulary;
  const auto& entries = pickle[*stoi].entries;
  for (std::size_t i = 0; i + 1 < entries.size(); i += 2) {
    const auto& key = pickle[entries[i]];
    const auto& value = pickle[entries[i + 1]];
    const bool is_character = key.kind == Pickle::Kind::string && !key.text.empty() &&
                              first_invalid_utf8(std::as_bytes(std::span(key.text))) == key.text.size() &&
                              utf8_length(key.text[0]) == key.text.size();
    if (!is_character || value.kind != Pickle::Kind::integer || value.integer < 0 ||
        value.integer >= std::numeric_limits<std::int32_t>::max()) {
      fail(source, "'stoi' maps {} to {}, expected a character and its id", describe(pickle, entries[i]),
           describe(pickle, entries[i + 1]));
    }
    vocabulary.add(key.text, static_cast<std::int32_t>(value.integer));
  }
  if (vocabulary.size() == 0) {
    fail(source, "'stoi' is empty");
  }
  return std::make_unique<CharacterEncoder>(std::move(vocabulary), source);
}

}  // namespace hessian::models
