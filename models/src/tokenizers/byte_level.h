#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace hessian::models {

/// GPT-2's alphabet: every byte is one printable character, so that any text can be written with 256 characters.
/// Source: bytes_to_unicode() of openai/gpt-2, src/encoder.py.

/// Returns the character of one byte, as UTF-8.
std::string byte_to_character(unsigned byte);

/// Returns the characters of all bytes of a text, as UTF-8.
std::string bytes_to_characters(std::string_view bytes);

/// Returns the bytes of a text in this alphabet; nothing if it has other characters.
std::optional<std::string> characters_to_bytes(std::string_view characters);

/// The regular expression by which GPT-2 splits texts into words.
inline constexpr std::string_view gpt2_pattern =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";

/// The regular expression of Llama 3.
inline constexpr std::string_view llama3_pattern =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";

}  // namespace hessian::models
