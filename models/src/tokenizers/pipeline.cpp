#include "tokenizers/pipeline.h"

#include <algorithm>
#include <utility>

#include "io/messages.h"

namespace hessian::models {

Pipeline::Pipeline(PipelineParts parts) : parts_(std::move(parts)), added_(std::move(parts_.added), parts_.normalizer) {
  if (parts_.pre_tokenization.ends_in_bytes && !parts_.model->takes_bytes()) {
    parts_.pre_tokenization.steps.push_back(byte_characters_step());
  }
  end_id_ = parts_.model->vocabulary().end_id();
  for (const AddedToken& token : added_.tokens()) {
    end_id_ = std::max<std::int64_t>(end_id_, std::int64_t{token.id} + 1);
  }
}

void Pipeline::encode(std::string_view text, TokenIds& ids, WordCache& cache) const {
  for (const Section& section : added_.split(text, /*normalized=*/false)) {
    if (section.token) {
      ids.push_back(*section.token);
    } else {
      encode_section(section.text, section.text.data() == text.data(), ids, cache);
    }
  }
}

void Pipeline::encode_section(std::string_view text, bool begins_text, TokenIds& ids, WordCache& cache) const {
  std::string normalized;
  if (parts_.normalizer) {
    normalized = parts_.normalizer(std::string(text));
    text = normalized;
  }
  for (const Section& section : added_.split(text, /*normalized=*/true)) {
    if (section.token) {
      ids.push_back(*section.token);
      continue;
    }
    Pieces pieces;
    pieces.items.push_back({section.text, begins_text && section.text.data() == text.data()});
    for (const PreTokenizer& step : parts_.pre_tokenization.steps) {
      step(pieces);
    }
    for (const Piece& piece : pieces.items) {
      parts_.model->encode(piece.text, ids, cache);
    }
  }
}

std::optional<std::int32_t> Pipeline::find(std::string_view token) const {
  for (const AddedToken& added : added_.tokens()) {
    if (added.content == token) {
      return added.id;
    }
  }
  return parts_.model->vocabulary().find(token);
}

std::string Pipeline::decode(std::span<const std::int32_t> ids) const {
  std::vector<std::string> tokens;
  for (const std::int32_t id : ids) {
    const AddedToken* added = added_.find(id);
    const std::string* text = added != nullptr ? &added->decoded : parts_.model->vocabulary().text(id);
    if (text == nullptr) {
      fail(parts_.source, "the id {} is not in the vocabulary (ids 0 to {})", id, end_id_ - 1);
    }
    tokens.push_back(*text);
  }
  if (parts_.decoder) {
    tokens = parts_.decoder(std::move(tokens));
  }
  std::string result;
  for (const std::string& token : tokens) {
    if (!parts_.decoder && !result.empty()) {
      result += ' ';
    }
    result += token;
  }
  return result;
}

}  // namespace hessian::models
