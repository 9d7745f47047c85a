#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace hessian::models {

/// The library whose syntax and character classes a pattern is written for: Oniguruma, which reads the patterns of
/// tokenizer.json, or Rust's regular expressions, which read those of tiktoken.
enum class RegexSyntax { oniguruma, rust };

/// A regular expression of a tokenizer, compiled by PCRE2 to machine code. Copies share the code; searches in several
/// threads are independent.
class Regex {
 public:
  /// \param source  the file's name, for messages
  /// \throws std::runtime_error  "tokenizer.json: the regular expression '(a' is not supported: missing closing
  ///                             parenthesis (at 2)"
  Regex(std::string_view pattern, RegexSyntax syntax, const std::string& source);

  struct Match {
    std::size_t begin = 0;
    std::size_t end = 0;
  };

  /// Returns the first match that begins at or after `from`. Precondition: the text is well-formed UTF-8.
  /// \throws std::runtime_error  if the search exceeds PCRE2's limits
  std::optional<Match> find(std::string_view text, std::size_t from) const;

  /// Calls `visit(begin, end)` for all matches from left to right that do not overlap. An empty match at the end of the
  /// previous match does not count.
  template <typename Visit>
  void for_each_match(std::string_view text, const Visit& visit) const;

 private:
  struct Code;
  std::shared_ptr<const Code> code_;
};

template <typename Visit>
void Regex::for_each_match(std::string_view text, const Visit& visit) const {
  std::size_t from = 0;
  std::optional<std::size_t> last_end;
  while (from <= text.size()) {
    const auto match = find(text, from);
    if (!match) {
      return;
    }
    if (match->begin == match->end && last_end == match->end) {
      do {
        ++from;
      } while (from < text.size() && (static_cast<unsigned char>(text[from]) & 0xc0U) == 0x80);
      continue;
    }
    visit(match->begin, match->end);
    from = match->end;
    last_end = match->end;
  }
}

/// Returns a pattern that PCRE2 reads as `syntax` reads the given one: the shorthands \s, \w and \h and the names after
/// \p have other meanings there.
/// \throws std::runtime_error  if the pattern uses what PCRE2 lacks, such as intersections of classes
std::string pcre2_pattern(std::string_view pattern, RegexSyntax syntax);

/// Returns a pattern that matches a text literally.
std::string literal_pattern(std::string_view text);

}  // namespace hessian::models
