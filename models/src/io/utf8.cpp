#include "io/utf8.h"

#include <algorithm>

#include "io/messages.h"

namespace hessian::models {
namespace {

bool is_continuation(std::byte value) {
  return (value & std::byte{0xc0}) == std::byte{0x80};
}

/// Returns the length of the well-formed UTF-8 sequence at the start of `bytes`, or 0.
std::size_t utf8_sequence(std::span<const std::byte> bytes) {
  const auto first = std::to_integer<unsigned>(bytes[0]);
  if (first < 0x80) {
    return 1;
  }
  const std::size_t length = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
  if (first < 0xc2 || first > 0xf4 || length > bytes.size() ||
      !std::ranges::all_of(bytes.subspan(1, length - 1), is_continuation)) {
    return 0;
  }
  // Overlong forms, surrogates, and code points above 0x10ffff differ in the second byte.
  const auto second = std::to_integer<unsigned>(bytes[1]);
  const bool wrong = (first == 0xe0 && second < 0xa0) || (first == 0xed && second > 0x9f) ||
                     (first == 0xf0 && second < 0x90) || (first == 0xf4 && second > 0x8f);
  return wrong ? 0 : length;
}

}  // namespace

std::size_t first_invalid_utf8(std::span<const std::byte> bytes) {
  std::size_t position = 0;
  while (position < bytes.size()) {
    const std::size_t length = utf8_sequence(bytes.subspan(position));
    if (length == 0) {
      return position;
    }
    position += length;
  }
  return position;
}

void check_utf8(std::span<const std::byte> bytes, const std::string& source, const char* remedy) {
  const std::size_t invalid = first_invalid_utf8(bytes);
  if (invalid != bytes.size()) {
    fail(source, "is not UTF-8 text (byte {} is 0x{:02x}){}", invalid, std::to_integer<unsigned>(bytes[invalid]),
         remedy);
  }
}

char32_t first_code_point(std::string_view text) {
  const auto byte = [&](std::size_t i) { return static_cast<char32_t>(static_cast<unsigned char>(text[i])); };
  const auto low = [&](std::size_t i) { return byte(i) & 0x3fU; };
  switch (utf8_length(text[0])) {
    case 1:
      return byte(0);
    case 2:
      return (byte(0) & 0x1fU) << 6U | low(1);
    case 3:
      return (byte(0) & 0x0fU) << 12U | low(1) << 6U | low(2);
    default:
      return (byte(0) & 0x07U) << 18U | low(1) << 12U | low(2) << 6U | low(3);
  }
}

std::u32string code_points(std::string_view text) {
  std::u32string result;
  for (std::size_t i = 0; i < text.size(); i += utf8_length(text[i])) {
    result += first_code_point(text.substr(i));
  }
  return result;
}

std::size_t last_code_point_begin(std::string_view text) {
  std::size_t begin = text.size() - 1;
  while (begin > 0 && (static_cast<unsigned char>(text[begin]) & 0xc0U) == 0x80) {
    --begin;
  }
  return begin;
}

void append_utf8(char32_t code_point, std::string& text) {
  const auto add = [&](char32_t byte) { text += static_cast<char>(byte); };
  if (code_point < 0x80) {
    add(code_point);
  } else if (code_point < 0x800) {
    add(0xc0 | code_point >> 6U);
    add(0x80 | (code_point & 0x3fU));
  } else if (code_point < 0x10000) {
    add(0xe0 | code_point >> 12U);
    add(0x80 | (code_point >> 6U & 0x3fU));
    add(0x80 | (code_point & 0x3fU));
  } else {
    add(0xf0 | code_point >> 18U);
    add(0x80 | (code_point >> 12U & 0x3fU));
    add(0x80 | (code_point >> 6U & 0x3fU));
    add(0x80 | (code_point & 0x3fU));
  }
}

}  // namespace hessian::models
