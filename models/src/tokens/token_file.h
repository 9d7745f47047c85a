#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace hessian::models {

/// The numbers of a token file.
enum class TokenType { uint8, uint16, uint32, int32, int64 };

/// Words for token types on the command line, in the order of the enumeration.
extern const std::vector<std::string> token_type_words;

std::size_t size_bytes(TokenType type);
const std::string& to_string(TokenType type);

/// \throws std::runtime_error  naming the accepted words
TokenType parse_token_type(const std::string& word);

/// Returns the type in which token files store the ids of a vocabulary: uint16 for at most 65536 tokens, otherwise uint32.
TokenType token_type_of(std::int64_t vocab_size);

/// What is known about a token file apart from its contents.
struct TokenFileOptions {
  std::optional<TokenType> type = {};        ///< of a file without a header; absent: uint16, as nanoGPT writes it
  std::int64_t vocab_size = 0;               ///< of the model that reads it; 0: unknown
  std::string type_option = "--token-type";  ///< the option that sets `type`, in messages
};

/// The numbers in a token file.
struct TokenFileBody {
  std::span<const std::byte> bytes;
  TokenType type = TokenType::uint16;
  std::int64_t vocab_size = 0;  ///< as the header says; 0: unknown
};

/// Recognises a token file and returns its numbers. Little-endian. Forms:
/// - this project's: the header of token_file_header(), then uint16 or uint32;
/// - llm.c's: a header of 256 int32 with magic number 20240520, version 1, then uint16; or 20240801, version 7, uint32;
/// - bare numbers, as nanoGPT writes them.
///
/// Without `options.type`, bare numbers are refused if the vocabulary is too large for uint16, or if they look like another
/// type: every other uint16 is 0 or at most 15 (uint32), three of four are 0 (int64), or the bytes are ASCII (text). 99 % of
/// the numbers decide, so that single odd values such as -1 do not.
/// \param source  the file's name, for messages
/// \throws std::runtime_error  one line that says what was found and what to give
/// Source: karpathy/nanoGPT, prepare.py of each data set; karpathy/llm.c, dev/data/data_common.py.
TokenFileBody read_token_file(std::span<const std::byte> file, const TokenFileOptions& options,
                              const std::string& source);

/// Returns whether a file begins with the magic text of this project's token files.
bool has_token_file_header(std::span<const std::byte> file);

/// Returns whether nearly all bytes are ASCII text.
bool looks_like_text(std::span<const std::byte> file);

/// Returns the header of a token file of this project: the magic text "HESSTOKS", and as little-endian numbers the
/// version 1 (uint32), the bytes per token (uint32), the number of tokens (uint64) and the vocabulary size (uint64).
std::string token_file_header(TokenType type, std::uint64_t tokens, std::uint64_t vocab_size);

}  // namespace hessian::models
