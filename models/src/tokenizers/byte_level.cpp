#include "tokenizers/byte_level.h"

#include <array>
#include <cstdint>

#include "io/utf8.h"

namespace hessian::models {
namespace {

bool is_printable(unsigned byte) {
  return (byte >= '!' && byte <= '~') || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;
}

/// Returns the code point of each byte: printable characters of Latin-1 are themselves, the others follow from 256 on.
std::array<char32_t, 256> make_alphabet() {
  std::array<char32_t, 256> alphabet{};
  char32_t next = 256;
  for (unsigned byte = 0; byte < 256; ++byte) {
    alphabet[byte] = is_printable(byte) ? byte : next++;
  }
  return alphabet;
}

const std::array<char32_t, 256>& alphabet() {
  static const auto characters = make_alphabet();
  return characters;
}

/// Returns the byte of each code point below 324, or -1.
const std::array<std::int16_t, 324>& inverse_alphabet() {
  static const auto bytes = [] {
    std::array<std::int16_t, 324> result{};
    result.fill(-1);
    for (unsigned byte = 0; byte < 256; ++byte) {
      result[alphabet()[byte]] = static_cast<std::int16_t>(byte);
    }
    return result;
  }();
  return bytes;
}

}  // namespace

std::string byte_to_character(unsigned byte) {
  std::string character;
  append_utf8(alphabet()[byte], character);
  return character;
}

std::string bytes_to_characters(std::string_view bytes) {
  std::string characters;
  characters.reserve(bytes.size() + bytes.size() / 4);
  for (const char byte : bytes) {
    append_utf8(alphabet()[static_cast<unsigned char>(byte)], characters);
  }
  return characters;
}

std::optional<std::string> characters_to_bytes(std::string_view characters) {
  std::string bytes;
  for (std::size_t i = 0; i < characters.size(); i += utf8_length(characters[i])) {
    const char32_t code = first_code_point(characters.substr(i));
    if (code >= inverse_alphabet().size() || inverse_alphabet()[code] < 0) {
      return std::nullopt;
    }
    bytes += static_cast<char>(inverse_alphabet()[code]);
  }
  return bytes;
}

}  // namespace hessian::models
