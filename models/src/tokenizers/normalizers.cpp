#include "tokenizers/normalizers.h"

#include <utility>
#include <vector>

#include "io/utf8.h"
#include "tokenizers/byte_level.h"
#include "tokenizers/regex.h"
#include "tokenizers/unicode.h"

namespace hessian::models {
namespace {

std::string stripped(const std::string& text, bool left, bool right) {
  std::string_view rest = text;
  while (left && !rest.empty() && is_whitespace(first_code_point(rest))) {
    rest.remove_prefix(utf8_length(rest[0]));
  }
  while (right && !rest.empty()) {
    const std::size_t last = last_code_point_begin(rest);
    if (!is_whitespace(first_code_point(rest.substr(last)))) {
      break;
    }
    rest = rest.substr(0, last);
  }
  return std::string(rest);
}

Normalizer parse_sequence(const Component& component) {
  std::vector<Normalizer> steps;
  for (const auto& element : component.list("normalizers")) {
    steps.push_back(parse_normalizer(component.child(element)));
  }
  return [steps](std::string text) {
    for (const Normalizer& step : steps) {
      if (!text.empty()) {
        text = step(std::move(text));
      }
    }
    return text;
  };
}

Normalizer normalize_to(NormalizationForm form) {
  return [form](const std::string& text) { return normalized(text, form); };
}

}  // namespace

Regex parse_pattern(const Component& component) {
  const Component pattern{component.at("pattern"), component.source, "the pattern of " + component.label()};
  if (pattern.json.is_object() && pattern.json.contains("String")) {
    return {literal_pattern(pattern.text("String")), RegexSyntax::oniguruma, component.source};
  }
  return {pattern.text("Regex"), RegexSyntax::oniguruma, component.source};
}

std::string replace_all(const std::string& text, const Regex& pattern, const std::string& replacement) {
  std::string result;
  std::size_t previous = 0;
  pattern.for_each_match(text, [&](std::size_t begin, std::size_t end) {
    result.append(text, previous, begin - previous);
    result += replacement;
    previous = end;
  });
  return result.append(text, previous);
}

Normalizer parse_normalizer(const Component& component) {
  const std::string type = component.type();
  if (type == "Sequence") {
    return parse_sequence(component);
  }
  if (type == "NFC") {
    return normalize_to(NormalizationForm::nfc);
  }
  if (type == "NFD") {
    return normalize_to(NormalizationForm::nfd);
  }
  if (type == "NFKC") {
    return normalize_to(NormalizationForm::nfkc);
  }
  if (type == "NFKD") {
    return normalize_to(NormalizationForm::nfkd);
  }
  if (type == "Lowercase") {
    return [](const std::string& text) { return lower_case(text); };
  }
  if (type == "Prepend") {
    return [prefix = component.text("prepend")](const std::string& text) { return prefix + text; };
  }
  if (type == "Strip") {
    return [left = component.flag("strip_left", true), right = component.flag("strip_right", true)](
               const std::string& text) { return stripped(text, left, right); };
  }
  if (type == "Replace") {
    // An empty text is found nowhere, unlike an empty regular expression.
    if (component.at("pattern") == nlohmann::json{{"String", ""}}) {
      return [](std::string text) { return text; };
    }
    return [pattern = parse_pattern(component), content = component.text("content")](const std::string& text) {
      return replace_all(text, pattern, content);
    };
  }
  if (type == "ByteLevel") {
    return [](const std::string& text) { return bytes_to_characters(text); };
  }
  component.refuse("NFC, NFD, NFKC, NFKD, Lowercase, Prepend, Replace, Strip, ByteLevel, Sequence");
}

}  // namespace hessian::models
