#include "tokenizers/tokenizer_json.h"

#include <algorithm>
#include <limits>
#include <set>
#include <utility>

#include "tokenizers/bpe.h"
#include "tokenizers/byte_level.h"
#include "tokenizers/pipeline.h"
#include "tokenizers/unigram.h"

namespace hessian::models {
namespace {

std::int32_t parse_id(const nlohmann::json& value, const std::string& token, const std::string& source) {
  if (!value.is_number_unsigned() || value.get<std::uint64_t>() >= std::numeric_limits<std::int32_t>::max()) {
    fail(source, "the id of the token {} is {}, expected a number from 0 to {}", name_text(token), json_text(value),
         std::numeric_limits<std::int32_t>::max() - 1);
  }
  return value.get<std::int32_t>();
}

std::pair<std::string, std::string> parse_merge(const nlohmann::json& merge, const Component& model) {
  if (merge.is_array() && merge.size() == 2 && merge[0].is_string() && merge[1].is_string()) {
    return {merge[0].get<std::string>(), merge[1].get<std::string>()};
  }
  if (merge.is_string()) {
    const auto& text = merge.get_ref<const std::string&>();
    const auto space = text.find(' ');
    if (space != std::string::npos && text.find(' ', space + 1) == std::string::npos) {
      return {text.substr(0, space), text.substr(space + 1)};
    }
  }
  fail(model.source, "{} has the merge {}, expected two tokens", model.label(), json_text(merge));
}

bool has_all_bytes(const Vocabulary& vocabulary) {
  for (unsigned byte = 0; byte < 256; ++byte) {
    if (!vocabulary.find(byte_to_character(byte))) {
      return false;
    }
  }
  return true;
}

/// \param ends_in_bytes  whether the words are in GPT-2's characters
std::unique_ptr<const WordModel> parse_bpe(const Component& model, bool ends_in_bytes) {
  if (const auto* dropout = model.find("dropout"); dropout != nullptr && *dropout != 0.0) {
    fail(model.source, "{} has a dropout of {}, which makes tokens random; only 0 is supported", model.label(),
         json_text(*dropout));
  }
  const Component vocabulary{model.at("vocab"), model.source, "'vocab' of " + model.label()};
  if (!vocabulary.json.is_object() || vocabulary.json.empty()) {
    fail(model.source, "{} is {}, expected tokens and their ids", vocabulary.name, json_text(vocabulary.json));
  }
  BpeDescription result;
  for (const auto& [token, id] : vocabulary.json.items()) {
    result.vocabulary.add(token, parse_id(id, token, model.source));
  }
  for (const auto& merge : model.list("merges")) {
    result.merges.push_back(parse_merge(merge, model));
  }
  if (const std::string unknown = model.text("unk_token", ""); !unknown.empty()) {
    result.unknown = result.vocabulary.find(unknown);
    result.missing_unknown = result.unknown ? "" : unknown;
  }
  result.fuse_unknown = model.flag("fuse_unk", false);
  result.byte_fallback = model.flag("byte_fallback", false);
  result.ignore_merges = model.flag("ignore_merges", false);
  result.word_prefix = model.text("continuing_subword_prefix", "");
  result.word_suffix = model.text("end_of_word_suffix", "");
  result.byte_level = ends_in_bytes && result.word_prefix.empty() && result.word_suffix.empty() &&
                      (!result.byte_fallback || has_all_bytes(result.vocabulary));
  return std::make_unique<Bpe>(std::move(result), model.source);
}

std::unique_ptr<const WordModel> parse_unigram(const Component& model) {
  UnigramDescription result;
  for (const auto& piece : model.list("vocab")) {
    if (!piece.is_array() || piece.size() != 2 || !piece[0].is_string() || !piece[1].is_number()) {
      fail(model.source, "'vocab' of {} has {}, expected a token and its score", model.label(), json_text(piece));
    }
    result.pieces.emplace_back(piece[0].get<std::string>(), piece[1].get<double>());
  }
  if (result.pieces.empty()) {
    fail(model.source, "'vocab' of {} is empty", model.label());
  }
  if (const auto* unknown = model.find("unk_id")) {
    const auto id = json_size(*unknown, model.source, "'unk_id' of " + model.label());
    if (static_cast<std::size_t>(id) >= result.pieces.size()) {
      fail(model.source, "'unk_id' of {} is {}, but there are {} tokens", model.label(), id, result.pieces.size());
    }
    result.unknown = static_cast<std::int32_t>(id);
  }
  result.byte_fallback = model.flag("byte_fallback", false);
  return std::make_unique<Unigram>(std::move(result), model.source);
}

/// Returns the type of a model; old files do not name it.
std::string model_type(const Component& model) {
  if (model.find("type") != nullptr) {
    return model.type();
  }
  if (model.find("merges") != nullptr) {
    return "BPE";
  }
  const auto* vocabulary = model.find("vocab");
  return vocabulary != nullptr && vocabulary->is_array() ? "Unigram" : "of unknown type";
}

/// Returns the added tokens. A token of the vocabulary keeps its id there, and the others are numbered behind it: the
/// ids in the file count for nothing, as in the reference.
std::vector<AddedToken> parse_added_tokens(const nlohmann::json& list, const Vocabulary& vocabulary,
                                           const std::string& source) {
  std::vector<AddedToken> tokens;
  std::set<std::string> seen;
  auto next = static_cast<std::int32_t>(vocabulary.size());
  std::int32_t last_added = -1;
  if (!list.is_array()) {
    fail(source, "'added_tokens' is {}, expected a list", json_text(list));
  }
  for (const auto& element : list) {
    const Component item{element, source, "an added token"};
    AddedToken token;
    token.content = item.text("content");
    token.special = item.flag("special", false);
    token.normalized = item.flag("normalized", !token.special);
    token.single_word = item.flag("single_word", false);
    token.lstrip = item.flag("lstrip", false);
    token.rstrip = item.flag("rstrip", false);
    if (token.content.empty() || !seen.insert(token.content).second) {
      continue;
    }
    token.id = vocabulary.find(token.content).value_or(std::max(next, last_added + 1));
    last_added = std::max(last_added, token.id);
    tokens.push_back(std::move(token));
  }
  return tokens;
}

}  // namespace

EncoderPointer parse_tokenizer_json(std::string_view text, const std::string& source) {
  const nlohmann::json json = parse_json_object(text, source, "the tokenizer");
  const Component root{json, source, "the tokenizer"};
  if (root.find("model") == nullptr) {
    fail(source, "is not a tokenizer: it has no 'model'");
  }
  PipelineParts parts;
  parts.source = source;
  if (const auto* component = root.find("normalizer")) {
    parts.normalizer = parse_normalizer({*component, source, "the normalizer"});
  }
  if (const auto* component = root.find("pre_tokenizer")) {
    parts.pre_tokenization = parse_pre_tokenizer({*component, source, "the pre-tokenizer"});
  }
  if (const auto* component = root.find("post_processor")) {
    parts.frame = parse_post_processor({*component, source, "the post-processor"});
  }
  if (const auto* component = root.find("decoder")) {
    parts.decoder = parse_decoder({*component, source, "the decoder"});
  }
  const Component model{root.at("model"), source, "the model"};
  parts.kind = model_type(model);
  if (parts.kind == "BPE") {
    parts.model = parse_bpe(model, parts.pre_tokenization.ends_in_bytes);
  } else if (parts.kind == "Unigram") {
    parts.model = parse_unigram(model);
  } else {
    fail(source, "the model {} is not supported; supported are BPE, Unigram", name_text(parts.kind));
  }
  if (const auto* list = root.find("added_tokens")) {
    parts.added = parse_added_tokens(*list, parts.model->vocabulary(), source);
  }
  return std::make_unique<Pipeline>(std::move(parts));
}

}  // namespace hessian::models
