#include "hessian/parameter_selection.h"

#include <stdexcept>
#include <string_view>

namespace hessian {
namespace {

/// Returns whether a pattern matches a whole text. On a mismatch, the last `*` is extended by one character.
bool matches(std::string_view pattern, std::string_view text) {
  constexpr auto none = std::string_view::npos;
  std::size_t p = 0;  // next character of the pattern
  std::size_t t = 0;  // and of the text
  std::size_t star = none;
  std::size_t star_text = 0;
  while (t < text.size()) {
    if (p < pattern.size() && pattern[p] == '*') {
      star = p++;
      star_text = t;
    } else if (p < pattern.size() && (pattern[p] == '?' || pattern[p] == text[t])) {
      ++p;
      ++t;
    } else if (star != none) {
      p = star + 1;
      t = ++star_text;
    } else {
      return false;
    }
  }
  return pattern.find_first_not_of('*', p) == none;
}

std::string some_names(const Parameters& parameters) {
  constexpr std::size_t shown = 5;
  std::string text;
  std::size_t count = 0;
  for (const auto& entry : parameters) {
    if (count++ == shown) {
      return text + ", ...";
    }
    text += (text.empty() ? "" : ", ") + entry.first;
  }
  return text;
}

}  // namespace

std::vector<std::string> select_parameters(const Parameters& parameters, const std::vector<std::string>& patterns) {
  if (patterns.empty()) {
    throw std::invalid_argument("no patterns given; use '*' to select all parameters");
  }
  std::vector<bool> chosen(parameters.size(), false);
  for (const std::string& pattern : patterns) {
    bool found = false;
    std::size_t i = 0;
    for (const auto& entry : parameters) {
      const bool fits = matches(pattern, entry.first);
      chosen[i] = chosen[i] || fits;
      found = found || fits;
      ++i;
    }
    if (!found) {
      throw std::invalid_argument("no parameter matches '" + pattern + "'; there are " + some_names(parameters));
    }
  }
  std::vector<std::string> names;
  std::size_t i = 0;
  for (const auto& entry : parameters) {
    if (chosen[i++]) {
      names.push_back(entry.first);
    }
  }
  return names;
}

Parameters parameters_named(const Parameters& parameters, const std::vector<std::string>& names) {
  Parameters named;
  for (const std::string& name : names) {
    named.add(name, parameters.at(name));
  }
  return named;
}

}  // namespace hessian
