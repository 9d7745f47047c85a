#pragma once

#include <cstddef>
#include <deque>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace hessian::models {

/// A piece of a text on its way to token ids.
struct Piece {
  std::string_view text;
  bool begins_text = false;  ///< whether it begins where the whole text begins
};

/// The pieces of a text, in order; none is empty. Rewritten pieces are stored here.
struct Pieces {
  std::vector<Piece> items;
  std::deque<std::string> storage;

  /// Stores a text and returns a view of it that lives as long as this object.
  std::string_view keep(std::string text) { return storage.emplace_back(std::move(text)); }
};

/// A range of a text that matches a delimiter, or lies between two matches.
struct Span {
  std::size_t begin = 0;
  std::size_t end = 0;
  bool is_match = false;
};

/// Appends the spans of a text, which cover it without gaps.
using SpanFinder = std::function<void(std::string_view text, std::vector<Span>& spans)>;

/// What becomes of the delimiters at which a text is split.
enum class SplitBehavior { removed, isolated, merged_with_previous, merged_with_next, contiguous };

/// Splits all pieces at the matches of a delimiter.
/// Source: the functions split() of huggingface/tokenizers, tokenizers/src/tokenizer/normalizer.rs.
void split(Pieces& pieces, const SpanFinder& find, SplitBehavior behavior);

/// Replaces the text of every piece; pieces that become empty are dropped.
void rewrite(Pieces& pieces, const std::function<std::string(const Piece&)>& rewritten);

class Regex;

/// Finds the matches of a regular expression, or, if inverted, what lies between them.
SpanFinder spans_of(const Regex& regex, bool inverted = false);

/// Finds single code points with a property.
SpanFinder spans_of(bool (*has_property)(char32_t));

}  // namespace hessian::models
