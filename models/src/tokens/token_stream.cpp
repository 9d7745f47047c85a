#include "tokens/token_stream.h"

#include <algorithm>
#include <set>

#include "io/byte_reader.h"
#include "io/messages.h"
#include "io/utf8.h"

namespace hessian::models {
namespace {

/// Draws `count` different numbers in [0, bound), ascending, with every set equally likely.
/// Source: Floyd's algorithm, Bentley & Floyd, CACM 30 (1987) 754.
std::vector<std::int64_t> draw_distinct(std::mt19937_64& generator, std::int64_t bound, std::int64_t count) {
  std::set<std::int64_t> drawn;
  for (std::int64_t last = bound - count; last < bound; ++last) {
    const auto candidate = static_cast<std::int64_t>(bounded_draw(generator, static_cast<std::uint64_t>(last) + 1));
    drawn.insert(drawn.contains(candidate) ? last : candidate);
  }
  return {drawn.begin(), drawn.end()};
}

/// Returns the position of the first number outside [0, bound); their count if there is none.
template <typename Number>
std::int64_t first_not_below(std::span<const std::byte> bytes, std::int64_t bound) {
  const auto count = static_cast<std::int64_t>(bytes.size() / sizeof(Number));
  const auto is_outside = [&](std::int64_t i) {
    const auto number = load_little_endian<Number>(bytes.subspan(static_cast<std::size_t>(i) * sizeof(Number)));
    return static_cast<std::uint64_t>(number) >= static_cast<std::uint64_t>(bound);  // negative numbers become large
  };
  // Without an early exit within a chunk, the compiler makes vector code of the loop.
  constexpr std::int64_t chunk = 4096;
  for (std::int64_t begin = 0; begin < count; begin += chunk) {
    const std::int64_t end = std::min(count, begin + chunk);
    bool any = false;
    for (std::int64_t i = begin; i < end; ++i) {
      any |= is_outside(i);
    }
    for (std::int64_t i = begin; any && i < end; ++i) {
      if (is_outside(i)) {
        return i;
      }
    }
  }
  return count;
}

}  // namespace

TokenStream TokenStream::text(std::span<const std::byte> file, const std::string& source) {
  check_utf8(file, source, convert_to_utf8);
  return {file, TokenType::uint8};
}

TokenStream TokenStream::bin(std::span<const std::byte> file, const std::string& source,
                             const TokenFileOptions& options) {
  const TokenFileBody body = read_token_file(file, options, source);
  return {body.bytes, body.type, body.vocab_size};
}

TokenStream TokenStream::numbers(std::span<const std::byte> bytes, TokenType type) {
  return {bytes, type};
}

std::int64_t TokenStream::operator[](std::int64_t position) const {
  const std::size_t width = size_bytes(type_);
  const auto bytes = bytes_.subspan(static_cast<std::size_t>(position) * width, width);
  switch (type_) {
    case TokenType::uint8:
      return load_little_endian<std::uint8_t>(bytes);
    case TokenType::uint16:
      return load_little_endian<std::uint16_t>(bytes);
    case TokenType::uint32:
      return load_little_endian<std::uint32_t>(bytes);
    case TokenType::int32:
      return load_little_endian<std::int32_t>(bytes);
    case TokenType::int64:
      return load_little_endian<std::int64_t>(bytes);
  }
  return 0;
}

std::int64_t TokenStream::first_outside(std::int64_t vocab_size) const {
  switch (type_) {
    case TokenType::uint8:
      return first_not_below<std::uint8_t>(bytes_, vocab_size);
    case TokenType::uint16:
      return first_not_below<std::uint16_t>(bytes_, vocab_size);
    case TokenType::uint32:
      return first_not_below<std::uint32_t>(bytes_, vocab_size);
    case TokenType::int32:
      return first_not_below<std::int32_t>(bytes_, vocab_size);
    case TokenType::int64:
      return first_not_below<std::int64_t>(bytes_, vocab_size);
  }
  return 0;
}

TokenStream TokenStream::part(std::int64_t begin, std::int64_t length) const {
  const std::size_t width = size_bytes(type_);
  return {bytes_.subspan(static_cast<std::size_t>(begin) * width, static_cast<std::size_t>(length) * width), type_,
          header_vocab_size_};
}

std::int64_t held_out_begin(const TokenStream& stream) {
  const std::int64_t total = stream.size();
  const std::int64_t tenth = total - total / 10;
  if (stream.type() != TokenType::uint8) {
    return tenth;
  }
  for (std::int64_t position = tenth; position < total; ++position) {
    if (stream[position] == '\n') {
      return position + 1;
    }
  }
  return tenth;
}

std::uint64_t bounded_draw(std::mt19937_64& generator, std::uint64_t bound) {
  // Rejects the 2^64 mod bound numbers that would make the result uneven.
  const std::uint64_t excess = (0 - bound) % bound;
  std::uint64_t number = generator();
  while (number < excess) {
    number = generator();
  }
  return number % bound;
}

std::vector<std::int64_t> draw_window_starts(std::int64_t total, std::int64_t count, std::int64_t length,
                                             std::uint64_t seed, const std::string& source,
                                             const std::string& subject) {
  if (count < 1 || length < 2) {
    fail(source, "cannot give {} sequences of {} tokens; both have to be at least 1", count, length - 1);
  }
  if (total < length) {
    fail(source, "{}has {} tokens, but one window takes {} (a sequence of {}, and the token after it)", subject, total,
         length, length - 1);
  }
  const std::int64_t places = total - length + 1;
  if (places < count) {
    fail(source, "{}has {} tokens, which hold {} different windows of {}, fewer than the {} sequences asked for",
         subject, total, places, length, count);
  }
  std::mt19937_64 generator(seed);
  if (count > total / length) {
    return draw_distinct(generator, places, count);
  }
  // Shrinks each window to one point: placements then correspond to sets of `count` points.
  auto starts = draw_distinct(generator, total - count * (length - 1), count);
  for (std::size_t i = 0; i < starts.size(); ++i) {
    starts[i] += static_cast<std::int64_t>(i) * (length - 1);
  }
  return starts;
}

}  // namespace hessian::models
