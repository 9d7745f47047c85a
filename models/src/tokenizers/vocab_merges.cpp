#include "tokenizers/vocab_merges.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "io/json_reader.h"
#include "io/messages.h"
#include "io/utf8.h"
#include "tokenizers/bpe.h"
#include "tokenizers/pipeline.h"

namespace hessian::models {
namespace {

std::vector<std::pair<std::string, std::int32_t>> parse_ids(std::string_view text, const std::string& source) {
  const nlohmann::json json = parse_json_object(text, source, "the vocabulary");
  std::vector<std::pair<std::string, std::int32_t>> ids;
  for (const auto& [token, value] : json.items()) {
    const auto id = json_size(value, source, "the id of " + name_text(token));
    if (id >= std::numeric_limits<std::int32_t>::max()) {
      fail(source, "the id of {} is {}, which is too large", name_text(token), id);
    }
    ids.emplace_back(token, static_cast<std::int32_t>(id));
  }
  return ids;
}

std::vector<std::pair<std::string, std::string>> parse_merges(std::string_view text, const std::string& source) {
  check_utf8(std::as_bytes(std::span(text)), source);
  std::vector<std::pair<std::string, std::string>> merges;
  std::size_t line_number = 0;
  while (!text.empty()) {
    ++line_number;
    const auto end = std::min(text.find('\n'), text.size());
    std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (line.ends_with('\r')) {
      line.remove_suffix(1);
    }
    if (line.empty() || line.starts_with("#version")) {
      continue;
    }
    const auto space = line.find(' ');
    if (space == std::string_view::npos || line.find(' ', space + 1) != std::string_view::npos) {
      fail(source, "line {} is {}, expected two tokens with a space between them", line_number, name_text(line));
    }
    merges.emplace_back(line.substr(0, space), line.substr(space + 1));
  }
  return merges;
}

}  // namespace

EncoderPointer parse_vocab_merges(const VocabMergesFiles& files) {
  constexpr std::string_view end_of_text = "<|endoftext|>";
  BpeDescription description;
  for (auto& [token, id] : parse_ids(files.vocab, files.vocab_source)) {
    description.vocabulary.add(token, id);
  }
  if (description.vocabulary.size() == 0) {
    fail(files.vocab_source, "has no tokens");
  }
  description.merges = parse_merges(files.merges, files.merges_source);
  description.byte_level = true;
  PipelineParts parts;
  parts.source = files.vocab_source;
  parts.kind = "BPE";
  if (const auto id = description.vocabulary.find(end_of_text)) {
    parts.added.push_back({.content = std::string(end_of_text), .id = *id, .special = true});
  }
  if (!files.added.empty()) {
    for (auto& [token, id] : parse_ids(files.added, files.added_source)) {
      if (token != end_of_text && !token.empty()) {
        parts.added.push_back({.content = token, .id = id, .special = true});
      }
    }
  }
  parts.model = std::make_unique<Bpe>(std::move(description), files.merges_source);
  parts.pre_tokenization = gpt2_pre_tokenization(files.vocab_source);
  parts.decoder = byte_level_decoder();
  return std::make_unique<Pipeline>(std::move(parts));
}

}  // namespace hessian::models
