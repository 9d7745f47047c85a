#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>

namespace hessian::models {

/// Returns the position of the first byte that is not part of well-formed UTF-8; the size if there is none.
/// Source: The Unicode Standard, table 3-7.
std::size_t first_invalid_utf8(std::span<const std::byte> bytes);

/// Checks that bytes are well-formed UTF-8.
/// \param source  the file's name
/// \param remedy  end of the message, such as convert_to_utf8
/// \throws std::runtime_error  "notes.txt: is not UTF-8 text (byte 17 is 0xff)" and the remedy
void check_utf8(std::span<const std::byte> bytes, const std::string& source, const char* remedy = "");

/// What to do about a text that is not UTF-8.
inline constexpr const char* convert_to_utf8 = "; convert it to UTF-8, for instance with iconv";

/// Returns the number of bytes of the code point that starts with this byte of well-formed UTF-8.
inline std::size_t utf8_length(char first) {
  const auto byte = static_cast<unsigned char>(first);
  return byte < 0x80 ? 1 : byte < 0xe0 ? 2 : byte < 0xf0 ? 3 : 4;
}

/// Decodes the code point at the start of well-formed UTF-8. Precondition: the text is not empty.
char32_t first_code_point(std::string_view text);

/// Returns the code points of well-formed UTF-8.
std::u32string code_points(std::string_view text);

/// Returns the position of the last code point of well-formed UTF-8. Precondition: the text is not empty.
std::size_t last_code_point_begin(std::string_view text);

/// Appends a code point as UTF-8.
void append_utf8(char32_t code_point, std::string& text);

}  // namespace hessian::models
