#include "io/messages.h"

#include <fmt/ranges.h>

namespace hessian::models {

std::string name_text(std::string_view name) {
  constexpr std::size_t longest = 100;
  std::string text = "'";
  for (const char character : name.substr(0, longest)) {
    const auto code = static_cast<unsigned char>(character);
    text += code < 0x20 || code >= 0x7f ? '?' : character;
  }
  return text + (name.size() > longest ? "...'" : "'");
}

std::string shape_text(std::span<const std::int64_t> shape) {
  return fmt::format("[{}]", fmt::join(shape, ", "));
}

}  // namespace hessian::models
