#include "tokenizers/pieces.h"

#include <algorithm>
#include <utility>

#include "io/utf8.h"
#include "tokenizers/regex.h"

namespace hessian::models {
namespace {

/// Merges each match into a neighbour, but of adjacent matches only the first one in the order of the spans.
template <typename Iterator, typename Extend>
std::vector<Span> merged(Iterator begin, Iterator end, const Extend& extend) {
  std::vector<Span> result;
  bool previous = false;
  for (auto span = begin; span != end; ++span) {
    if (span->is_match && !previous && !result.empty()) {
      extend(result.back(), *span);
    } else {
      result.push_back(*span);
    }
    previous = span->is_match;
  }
  return result;
}

std::vector<Span> contiguous(const std::vector<Span>& spans) {
  std::vector<Span> result;
  bool previous = false;
  for (const Span& span : spans) {
    if (span.is_match == previous && !result.empty()) {
      result.back().end = span.end;
    } else {
      result.push_back(span);
    }
    previous = span.is_match;
  }
  return result;
}

/// Returns the spans that become pieces.
std::vector<Span> apply(SplitBehavior behavior, std::vector<Span> spans) {
  switch (behavior) {
    case SplitBehavior::isolated:
      break;
    case SplitBehavior::removed:
      std::erase_if(spans, [](const Span& span) { return span.is_match; });
      break;
    case SplitBehavior::contiguous:
      return contiguous(spans);
    case SplitBehavior::merged_with_previous:
      return merged(spans.begin(), spans.end(), [](Span& last, const Span& match) { last.end = match.end; });
    case SplitBehavior::merged_with_next: {
      auto result =
          merged(spans.rbegin(), spans.rend(), [](Span& last, const Span& match) { last.begin = match.begin; });
      std::ranges::reverse(result);
      return result;
    }
  }
  return spans;
}

}  // namespace

void split(Pieces& pieces, const SpanFinder& find, SplitBehavior behavior) {
  std::vector<Piece> result;
  std::vector<Span> spans;
  for (const Piece& piece : pieces.items) {
    spans.clear();
    find(piece.text, spans);
    spans = apply(behavior, std::move(spans));
    for (const Span& span : spans) {
      if (span.end > span.begin) {
        result.push_back({piece.text.substr(span.begin, span.end - span.begin), piece.begins_text && span.begin == 0});
      }
    }
  }
  pieces.items = std::move(result);
}

void rewrite(Pieces& pieces, const std::function<std::string(const Piece&)>& rewritten) {
  for (Piece& piece : pieces.items) {
    piece.text = pieces.keep(rewritten(piece));
  }
  std::erase_if(pieces.items, [](const Piece& piece) { return piece.text.empty(); });
}

SpanFinder spans_of(const Regex& regex, bool inverted) {
  return [regex, inverted](std::string_view text, std::vector<Span>& spans) {
    std::size_t previous = 0;
    regex.for_each_match(text, [&](std::size_t begin, std::size_t end) {
      if (previous != begin) {
        spans.push_back({previous, begin, inverted});
      }
      spans.push_back({begin, end, !inverted});
      previous = end;
    });
    if (previous != text.size()) {
      spans.push_back({previous, text.size(), inverted});
    }
  };
}

SpanFinder spans_of(bool (*has_property)(char32_t)) {
  return [has_property](std::string_view text, std::vector<Span>& spans) {
    std::size_t previous = 0;
    for (std::size_t i = 0; i < text.size();) {
      const std::size_t next = i + utf8_length(text[i]);
      if (has_property(first_code_point(text.substr(i)))) {
        if (previous < i) {
          spans.push_back({previous, i, false});
        }
        spans.push_back({i, next, true});
        previous = next;
      }
      i = next;
    }
    if (previous < text.size()) {
      spans.push_back({previous, text.size(), false});
    }
  };
}

}  // namespace hessian::models
