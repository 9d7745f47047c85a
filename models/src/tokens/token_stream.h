#pragma once

#include <cstddef>
#include <cstdint>
#include <random>
#include <span>
#include <string>
#include <vector>

#include "tokens/token_file.h"

namespace hessian::models {

/// A view of the bytes of a file as a sequence of token ids. The bytes must outlive it.
class TokenStream {
 public:
  /// Makes a stream of UTF-8 text, one token per byte.
  /// \throws std::runtime_error  "notes.txt: not UTF-8 text (byte 17 is 0xff); ..."
  static TokenStream text(std::span<const std::byte> file, const std::string& source);

  /// Makes a stream of a token file; see read_token_file().
  /// \throws std::runtime_error  one line, if it is no token file, or one of another type
  static TokenStream bin(std::span<const std::byte> file, const std::string& source,
                         const TokenFileOptions& options = {});

  /// Makes a stream of numbers in memory.
  static TokenStream numbers(std::span<const std::byte> bytes, TokenType type);

  std::int64_t size() const { return static_cast<std::int64_t>(bytes_.size() / size_bytes(type_)); }
  std::int64_t operator[](std::int64_t position) const;

  /// Returns the `length` tokens from `begin` on.
  TokenStream part(std::int64_t begin, std::int64_t length) const;

  TokenType type() const { return type_; }

  /// Returns the vocabulary size in the header of a token file; 0: unknown.
  std::int64_t header_vocab_size() const { return header_vocab_size_; }

  /// Returns the position of the first id that is not in [0, vocab_size); the size if there is none. Cost: one pass.
  std::int64_t first_outside(std::int64_t vocab_size) const;

 private:
  TokenStream(std::span<const std::byte> bytes, TokenType type, std::int64_t header_vocab_size = 0)
      : bytes_(bytes), type_(type), header_vocab_size_(header_vocab_size) {}

  std::span<const std::byte> bytes_;
  TokenType type_;
  std::int64_t header_vocab_size_;
};

/// Returns the position at which the held-out tenth of a stream begins: after nine tenths, and in text after the next
/// end of a line.
std::int64_t held_out_begin(const TokenStream& stream);

/// Draws a uniform integer in [0, bound), the same on every platform (unlike std::uniform_int_distribution).
/// Precondition: bound > 0.
std::uint64_t bounded_draw(std::mt19937_64& generator, std::uint64_t bound);

/// Draws the starts of `count` different windows of `length` tokens in `total` tokens, in ascending order: windows that
/// do not overlap, with every placement equally likely, if there is room for them; otherwise windows with different
/// starts.
/// \param subject  what has the tokens, if it is not the whole source: "its last tenth "
/// \throws std::runtime_error  "notes.txt: has 20 tokens, but one window takes 33 (a sequence of 32, and the token after it)"
std::vector<std::int64_t> draw_window_starts(std::int64_t total, std::int64_t count, std::int64_t length,
                                             std::uint64_t seed, const std::string& source,
                                             const std::string& subject = "");

}  // namespace hessian::models
