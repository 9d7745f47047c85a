#include "tokens/token_stream.h"

#include <algorithm>
#include <array>
#include <set>

#include "io/byte_reader.h"
#include "io/messages.h"
#include "io/utf8.h"

namespace hessian::models {
namespace {

/// Header of an llm.c token file: magic number, version, number of tokens, and 253 unused numbers, all int32.
struct LlmcFormat {
  std::int32_t magic;
  std::int32_t version;
  std::size_t width;
};

constexpr std::array<LlmcFormat, 2> llmc_formats = {{{20240520, 1, 2}, {20240801, 7, 4}}};
constexpr std::size_t llmc_header_bytes = 256 * sizeof(std::int32_t);

/// Returns the tokens of an llm.c file after its header.
std::span<const std::byte> llmc_tokens(std::span<const std::byte> file, const LlmcFormat& format,
                                       const std::string& source) {
  ByteReader reader(file, source, "the token file's header");
  const auto header = reader.take(llmc_header_bytes);
  const auto version = load_little_endian<std::int32_t>(header.subspan(4));
  const auto tokens = load_little_endian<std::int32_t>(header.subspan(8));
  if (version != format.version) {
    fail(source, "is an llm.c token file of version {}, expected {}", version, format.version);
  }
  const auto body = file.subspan(llmc_header_bytes);
  if (tokens < 0 || body.size() != static_cast<std::size_t>(tokens) * format.width) {
    fail(source, "says that it holds {} tokens of {} bytes, but {} bytes follow its header", tokens, format.width,
         body.size());
  }
  return body;
}

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

}  // namespace

TokenStream TokenStream::text(std::span<const std::byte> file, const std::string& source) {
  const std::size_t invalid = first_invalid_utf8(file);
  if (invalid != file.size()) {
    fail(source, "is not UTF-8 text (byte {} is 0x{:02x}); give tokens as a .bin or a .safetensors", invalid,
         std::to_integer<unsigned>(file[invalid]));
  }
  return {file, 1};
}

TokenStream TokenStream::bin(std::span<const std::byte> file, const std::string& source) {
  constexpr std::size_t nanogpt_width = 2;
  if (file.size() >= sizeof(std::int32_t)) {
    const auto magic = load_little_endian<std::int32_t>(file);
    for (const auto& format : llmc_formats) {
      if (magic == format.magic) {
        return {llmc_tokens(file, format, source), format.width};
      }
    }
  }
  if (file.size() % nanogpt_width != 0) {
    fail(source, "has {} bytes, which is not a whole number of uint16 tokens", file.size());
  }
  return {file, nanogpt_width};
}

std::int64_t TokenStream::operator[](std::int64_t position) const {
  const auto bytes = bytes_.subspan(static_cast<std::size_t>(position) * width_, width_);
  switch (width_) {
    case 1:
      return load_little_endian<std::uint8_t>(bytes);
    case 2:
      return load_little_endian<std::uint16_t>(bytes);
    default:
      return load_little_endian<std::uint32_t>(bytes);
  }
}

TokenStream TokenStream::part(std::int64_t begin, std::int64_t length) const {
  return {bytes_.subspan(static_cast<std::size_t>(begin) * width_, static_cast<std::size_t>(length) * width_), width_};
}

std::int64_t held_out_begin(const TokenStream& stream) {
  const std::int64_t total = stream.size();
  const std::int64_t tenth = total - total / 10;
  if (stream.width() != 1) {
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
                                             std::uint64_t seed, const std::string& source) {
  if (count < 1 || length < 2) {
    fail(source, "cannot give {} sequences of {} tokens; both have to be at least 1", count, length - 1);
  }
  if (total < length) {
    fail(source, "has {} tokens, but one window takes {} (a sequence of {}, and the token after it)", total, length,
         length - 1);
  }
  const std::int64_t places = total - length + 1;
  if (places < count) {
    fail(source, "has {} tokens, which hold {} different windows of {}, fewer than the {} sequences asked for", total,
         places, length, count);
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
