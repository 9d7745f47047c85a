#pragma once

#include <cctype>
#include <string>
#include <system_error>

namespace hessian::models {

/// What errno means, as part of a sentence: "no space left on device".
inline std::string system_error_text(int error) {
  std::string text = std::generic_category().message(error);
  if (!text.empty()) {
    text[0] = static_cast<char>(std::tolower(static_cast<unsigned char>(text[0])));
  }
  return text;
}

}  // namespace hessian::models
