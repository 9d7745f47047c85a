#include <algorithm>
#include <iterator>
#include <stdexcept>

#include "tokenizers/regex.h"
#include "tokenizers/unicode.h"

namespace hessian::models {
namespace {

constexpr std::string_view word_class = R"(\p{Alphabetic}\p{M}\p{Nd}\p{Pc})";
// In Oniguruma the fractions and superscript digits of Latin-1 belong to words, unlike those beyond it.
constexpr std::string_view onig_extra = R"(\x{b2}\x{b3}\x{b9}\x{bc}-\x{be})";
constexpr std::string_view rust_extra = R"(\p{Join_Control})";

struct PosixClass {
  std::string_view name;
  std::string_view members;
};

constexpr PosixClass posix_classes[] = {
    {"alpha", R"(\p{Alphabetic})"}, {"alnum", R"(\p{Alphabetic}\p{Nd})"}, {"space", R"(\p{White_Space})"},
    {"upper", R"(\p{Uppercase})"},  {"lower", R"(\p{Lowercase})"},        {"digit", R"(\p{Nd})"},
    {"xdigit", "0-9a-fA-F"},        {"punct", R"(\p{P}$+<=>\^`|~)"},
};

/// Rewrites a pattern character by character.
class Translation {
 public:
  Translation(std::string_view pattern, RegexSyntax syntax) : pattern_(pattern), syntax_(syntax) {}

  std::string run() {
    while (position_ < pattern_.size()) {
      const char character = pattern_[position_];
      if (character == '\\' && position_ + 1 < pattern_.size()) {
        escape();
      } else if (in_class_) {
        class_character(character);
      } else if (character == '[') {
        open_class();
      } else {
        copy(1);
      }
    }
    return std::move(result_);
  }

 private:
  void copy(std::size_t count) {
    result_ += pattern_.substr(position_, count);
    position_ += count;
  }

  void replace(std::size_t count, std::string_view text) {
    result_ += text;
    position_ += count;
  }

  void open_class() {
    in_class_ = true;
    copy(1);
    if (pattern_.substr(position_).starts_with('^')) {
      copy(1);
    }
    // A bracket in first place is a member of the class.
    if (pattern_.substr(position_).starts_with(']')) {
      copy(1);
    }
  }

  void class_character(char character) {
    const auto rest = pattern_.substr(position_);
    if (rest.starts_with("&&") ||
        (syntax_ == RegexSyntax::rust && (rest.starts_with("--") || rest.starts_with("~~")))) {
      throw std::runtime_error("it combines classes of characters");
    }
    if (rest.starts_with("[:")) {
      posix_class(rest);
      return;
    }
    // A class inside a class adds its members; brackets around them change nothing.
    if (character == '[') {
      if (rest.starts_with("[^")) {
        throw std::runtime_error("it excludes characters inside a class");
      }
      ++inner_classes_;
      ++position_;
      return;
    }
    if (character == ']' && inner_classes_ > 0) {
      --inner_classes_;
      ++position_;
      return;
    }
    in_class_ = character != ']';
    copy(1);
  }

  /// Translates [:alpha:] and its relatives, which PCRE2 defines by fewer characters.
  void posix_class(std::string_view rest) {
    const auto end = rest.find(":]");
    if (end == std::string_view::npos) {
      throw std::runtime_error("a class of characters does not end");
    }
    const auto name = rest.substr(2, end - 2);
    const auto found = std::ranges::find(posix_classes, name, &PosixClass::name);
    if (found == std::end(posix_classes)) {
      throw std::runtime_error("it has an unknown class of characters");
    }
    replace(end + 2, found->members);
  }

  /// Writes members of a class: in brackets if they are not in a class already.
  void members(std::string_view text, bool negated = false) {
    if (in_class_ && negated) {
      throw std::runtime_error("it excludes characters inside a class");
    }
    if (in_class_) {
      replace(2, text);
    } else {
      replace(2, (negated ? "[^" : "[") + std::string(text) + "]");
    }
  }

  void escape() {
    const char letter = pattern_[position_ + 1];
    const bool onig = syntax_ == RegexSyntax::oniguruma;
    switch (letter) {
      case 's':
      case 'S':
        replace(2, letter == 's' ? R"(\p{White_Space})" : R"(\P{White_Space})");
        return;
      case 'w':
      case 'W':
        members(std::string(word_class) + std::string(onig ? onig_extra : rust_extra), letter == 'W');
        return;
      case 'h':
      case 'H':
        if (onig) {
          members("0-9a-fA-F", letter == 'H');
          return;
        }
        throw std::runtime_error("it has an unknown escape");
      case 'p':
      case 'P':
        property();
        return;
      default:
        copy(2);
    }
  }

  /// Translates \p{Name} and its relatives.
  void property() {
    if (!pattern_.substr(position_ + 2).starts_with('{')) {
      copy(2);
      return;
    }
    const auto end = pattern_.find('}', position_);
    if (end == std::string_view::npos) {
      throw std::runtime_error("a name after \\p does not end");
    }
    auto name = pattern_.substr(position_ + 3, end - position_ - 3);
    bool negated = pattern_[position_ + 1] == 'P';
    if (name.starts_with('^')) {
      negated = !negated;
      name.remove_prefix(1);
    }
    replace(end + 1 - position_, (negated ? R"(\P{)" : R"(\p{)") + short_property_name(std::string(name)) + "}");
  }

  std::string_view pattern_;
  RegexSyntax syntax_;
  std::size_t position_ = 0;
  bool in_class_ = false;
  int inner_classes_ = 0;  // classes that are open inside the class
  std::string result_;
};

}  // namespace

std::string pcre2_pattern(std::string_view pattern, RegexSyntax syntax) {
  return Translation(pattern, syntax).run();
}

std::string literal_pattern(std::string_view text) {
  std::string pattern;
  for (const char character : text) {
    if (std::string_view(R"(\.+*?()|[]{}^$#&-~ )").find(character) != std::string_view::npos) {
      pattern += '\\';
    }
    pattern += character;
  }
  return pattern;
}

}  // namespace hessian::models
