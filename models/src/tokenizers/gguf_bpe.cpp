#include "tokenizers/gguf_bpe.h"

#include <algorithm>
#include <initializer_list>
#include <memory>
#include <utility>

#include "io/messages.h"
#include "io/utf8.h"
#include "tokenizers/bpe.h"
#include "tokenizers/byte_level.h"
#include "tokenizers/pipeline.h"
#include "tokenizers/regex.h"
#include "tokenizers/unicode.h"

namespace hessian::models {
namespace {

/// How texts are split into words, and what else depends on it.
struct Splitting {
  std::vector<std::string_view> patterns;  ///< each splits what the ones before it have left
  bool ignores_merges = false;             ///< a word that is a token is not divided
  bool adds_begin = false;                 ///< a beginning token is put before a text unless the file says otherwise
  bool composes = false;                   ///< normalises to NFC
};

constexpr std::string_view one_digit = R"(\p{N})";
constexpr std::string_view qwen2_pattern =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";

bool is_any(const std::string& name, std::initializer_list<std::string_view> names) {
  return std::ranges::find(names, name) != names.end();
}

Splitting splitting_named(const std::string& name, const std::string& source) {
  if (is_any(name, {"gpt-2", "phi-2", "mpt", "olmo", "exaone4", "gigachat", "modern-bert", "trillion"})) {
    return {.patterns = {gpt2_pattern}};
  }
  if (is_any(name, {"smollm", "starcoder", "refact", "command-r", "codeshell", "exaone", "minerva-7b"})) {
    return {.patterns = {one_digit, gpt2_pattern}};
  }
  if (is_any(name, {"llama-bpe", "llama3", "llama-v3", "falcon3", "pixtral", "lfm2"})) {
    return {.patterns = {llama3_pattern}, .ignores_merges = true, .adds_begin = true};
  }
  if (is_any(name, {"dbrx", "smaug-bpe", "glm4", "chatglm-bpe"})) {
    return {.patterns = {llama3_pattern}};
  }
  if (is_any(name, {"qwen2", "deepseek-r1-qwen", "megrez"})) {
    return {.patterns = {qwen2_pattern}, .composes = true};
  }
  if (is_any(name, {"stablelm2", "hunyuan"})) {
    return {.patterns = {qwen2_pattern}};
  }
  if (name == "falcon") {
    return {.patterns = {R"([\p{P}\$\+<=>\^~\|`]+)", gpt2_pattern, "[0-9][0-9][0-9]"}};
  }
  if (name == "default") {
    return {.patterns = {R"([\p{P}\$\+<=>\^~\|]+)", gpt2_pattern, R"(\p{N}+)", "[0-9][0-9][0-9]"}};
  }
  fail(source,
       "'tokenizer.ggml.pre' is {}, which is not supported; supported are gpt-2, smollm, starcoder, llama-bpe, qwen2, "
       "stablelm2, dbrx, glm4, falcon, default and names of the same regular expressions",
       name_text(name));
}

PreTokenization pre_tokenization_of(const Splitting& splitting, const std::string& source) {
  PreTokenization result;
  for (const std::string_view pattern : splitting.patterns) {
    PreTokenization next = pattern_pre_tokenization(Regex(pattern, RegexSyntax::oniguruma, source));
    std::ranges::move(next.steps, std::back_inserter(result.steps));
    result.ends_in_bytes = next.ends_in_bytes;
  }
  return result;
}

std::vector<std::pair<std::string, std::string>> read_merges(const GgufMetadata& metadata) {
  constexpr const char* key = "tokenizer.ggml.merges";
  std::vector<std::pair<std::string, std::string>> merges;
  for (const std::string& merge : metadata.required(metadata.texts(key), key)) {
    // A token may begin with a space, but not be empty.
    const std::size_t space = merge.find(' ', 1);
    if (space == std::string::npos || space + 1 == merge.size()) {
      fail(metadata.source(), "'{}' has {} in it, expected two tokens with a space between them", key,
           name_text(merge));
    }
    merges.emplace_back(merge.substr(0, space), merge.substr(space + 1));
  }
  return merges;
}

}  // namespace

EncoderPointer parse_gguf_bpe(const GgufMetadata& metadata, const GgufVocabulary& vocabulary) {
  const std::string& source = metadata.source();
  const Splitting splitting = splitting_named(metadata.text("tokenizer.ggml.pre").value_or("default"), source);
  BpeDescription description;
  PipelineParts parts;
  parts.source = source;
  parts.kind = "BPE";
  std::int32_t id = 0;
  for (const GgufToken& token : vocabulary.tokens) {
    check_utf8(std::as_bytes(std::span(token.text)), source);
    description.vocabulary.add(token.text, id);
    const bool is_user_defined = token.type == GgufTokenType::user_defined;
    if (is_user_defined || token.type == GgufTokenType::control || token.type == GgufTokenType::unknown) {
      parts.added.push_back({.content = token.text, .id = id, .special = !is_user_defined});
    }
    ++id;
  }
  description.merges = read_merges(metadata);
  description.byte_level = true;
  description.ignore_merges = splitting.ignores_merges;
  parts.model = std::make_unique<Bpe>(std::move(description), source);
  if (splitting.composes) {
    parts.normalizer = [](const std::string& text) { return normalized(text, NormalizationForm::nfc); };
  }
  parts.pre_tokenization = pre_tokenization_of(splitting, source);
  parts.decoder = byte_level_decoder();
  parts.frame = read_gguf_frame(metadata, vocabulary, splitting.adds_begin);
  return std::make_unique<Pipeline>(std::move(parts));
}

}  // namespace hessian::models
