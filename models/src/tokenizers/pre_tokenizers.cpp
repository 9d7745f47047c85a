#include "tokenizers/pre_tokenizers.h"

#include <optional>
#include <utility>

#include "tokenizers/byte_level.h"
#include "tokenizers/normalizers.h"
#include "tokenizers/regex.h"
#include "tokenizers/unicode.h"

namespace hessian::models {
namespace {

PreTokenizer splitting_step(SpanFinder find, SplitBehavior behavior) {
  return [find = std::move(find), behavior](Pieces& pieces) { split(pieces, find, behavior); };
}

SplitBehavior parse_behavior(const Component& component, const std::string& word) {
  if (word == "Removed") {
    return SplitBehavior::removed;
  }
  if (word == "Isolated") {
    return SplitBehavior::isolated;
  }
  if (word == "MergedWithPrevious") {
    return SplitBehavior::merged_with_previous;
  }
  if (word == "MergedWithNext") {
    return SplitBehavior::merged_with_next;
  }
  if (word == "Contiguous") {
    return SplitBehavior::contiguous;
  }
  fail(component.source, "the behavior {} of {} is not known", name_text(word), component.label());
}

PreTokenizer parse_split(const Component& component) {
  const SplitBehavior behavior = parse_behavior(component, component.text("behavior"));
  const bool inverted = component.flag("invert", false);
  // An empty text is found nowhere, unlike an empty regular expression.
  if (component.at("pattern") == nlohmann::json{{"String", ""}}) {
    return [](Pieces&) {};
  }
  return splitting_step(spans_of(parse_pattern(component), inverted), behavior);
}

void parse_byte_level(const Component& component, std::vector<PreTokenizer>& steps) {
  if (component.flag("add_prefix_space", true)) {
    steps.emplace_back([](Pieces& pieces) {
      rewrite(pieces, [](const Piece& piece) {
        return piece.text.starts_with(' ') ? std::string(piece.text) : " " + std::string(piece.text);
      });
    });
  }
  if (component.flag("use_regex", true)) {
    const Regex pattern(gpt2_pattern, RegexSyntax::oniguruma, component.source);
    steps.push_back(splitting_step(spans_of(pattern), SplitBehavior::isolated));
  }
}

enum class PrependScheme { always, first, never };

PrependScheme parse_prepend_scheme(const Component& component) {
  const std::string word =
      component.text("prepend_scheme", component.flag("add_prefix_space", true) ? "always" : "never");
  if (word == "always") {
    return PrependScheme::always;
  }
  if (word == "first") {
    return PrependScheme::first;
  }
  if (word == "never") {
    return PrependScheme::never;
  }
  fail(component.source, "the prepend_scheme {} of {} is not known", name_text(word), component.label());
}

void parse_metaspace(const Component& component, std::vector<PreTokenizer>& steps) {
  const std::string mark = component.text("replacement", "\u2581");
  const PrependScheme scheme = parse_prepend_scheme(component);
  const Regex space(" ", RegexSyntax::oniguruma, component.source);
  steps.emplace_back([mark, scheme, space](Pieces& pieces) {
    rewrite(pieces, [&](const Piece& piece) {
      std::string text = replace_all(std::string(piece.text), space, mark);
      const bool prepends = scheme == PrependScheme::always || (scheme == PrependScheme::first && piece.begins_text);
      return prepends && !text.starts_with(mark) ? mark + text : text;
    });
  });
  if (component.flag("split", true)) {
    const Regex pattern(literal_pattern(mark), RegexSyntax::oniguruma, component.source);
    steps.push_back(splitting_step(spans_of(pattern), SplitBehavior::merged_with_next));
  }
}

/// Appends the steps of a component, and of its children.
void append(const Component& component, std::vector<PreTokenizer>& steps, bool& ends_in_bytes) {
  const std::string type = component.type();
  if (type == "Sequence") {
    for (const auto& element : component.list("pretokenizers")) {
      append(component.child(element), steps, ends_in_bytes);
    }
    return;
  }
  if (ends_in_bytes) {
    steps.push_back(byte_characters_step());
    ends_in_bytes = false;
  }
  if (type == "ByteLevel") {
    parse_byte_level(component, steps);
    ends_in_bytes = true;
  } else if (type == "Split") {
    steps.push_back(parse_split(component));
  } else if (type == "Digits") {
    steps.push_back(splitting_step(spans_of(is_numeric), component.flag("individual_digits", false)
                                                             ? SplitBehavior::isolated
                                                             : SplitBehavior::contiguous));
  } else if (type == "Metaspace") {
    parse_metaspace(component, steps);
  } else if (type == "Whitespace") {
    const Regex pattern(R"(\w+|[^\w\s]+)", RegexSyntax::rust, component.source);
    steps.push_back(splitting_step(spans_of(pattern, /*inverted=*/true), SplitBehavior::removed));
  } else if (type == "WhitespaceSplit") {
    steps.push_back(splitting_step(spans_of(is_whitespace), SplitBehavior::removed));
  } else if (type == "Punctuation") {
    steps.push_back(
        splitting_step(spans_of(is_punctuation), parse_behavior(component, component.text("behavior", "Isolated"))));
  } else {
    component.refuse("ByteLevel, Split, Digits, Metaspace, Whitespace, WhitespaceSplit, Punctuation, Sequence");
  }
}

}  // namespace

PreTokenization parse_pre_tokenizer(const Component& component) {
  PreTokenization result;
  append(component, result.steps, result.ends_in_bytes);
  return result;
}

PreTokenizer byte_characters_step() {
  return [](Pieces& pieces) { rewrite(pieces, [](const Piece& piece) { return bytes_to_characters(piece.text); }); };
}

PreTokenization pattern_pre_tokenization(const Regex& pattern) {
  return {{splitting_step(spans_of(pattern), SplitBehavior::isolated)}, true};
}

PreTokenization gpt2_pre_tokenization(const std::string& source) {
  return pattern_pre_tokenization(Regex(gpt2_pattern, RegexSyntax::oniguruma, source));
}

}  // namespace hessian::models
