#include "tokens/token_file.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <string_view>

#include "io/byte_reader.h"
#include "io/messages.h"
#include "io/utf8.h"

namespace hessian::models {
namespace {

constexpr std::string_view own_magic = "HESSTOKS";
constexpr std::uint32_t own_version = 1;
constexpr std::size_t own_header_bytes = 32;

/// The token files of llm.c. Their header has the magic number, the version, the number of tokens, and 253 unused
/// numbers, all int32.
struct LlmcFormat {
  std::int32_t magic;
  std::int32_t version;
  TokenType type;
};

constexpr std::array<LlmcFormat, 2> llmc_formats = {{
    {20240520, 1, TokenType::uint16},
    {20240801, 7, TokenType::uint32},
}};
constexpr std::size_t llmc_header_bytes = 256 * sizeof(std::int32_t);

/// Files of llm.c that hold no tokens.
struct LlmcFile {
  std::int32_t magic;
  const char* what;
};

constexpr std::array<LlmcFile, 6> llmc_files = {{
    {20240326, "model"},
    {20240803, "model"},
    {20240327, "debugging state"},
    {20240328, "tokenizer"},
    {20240522, "evaluation"},
    {20240527, "training state"},
}};

TokenFileBody read_llmc(std::span<const std::byte> file, const LlmcFormat& format, const std::string& source) {
  ByteReader reader(file, source, "the token file's header");
  const auto header = reader.take(llmc_header_bytes);
  const auto version = load_little_endian<std::int32_t>(header.subspan(4));
  const auto tokens = load_little_endian<std::int32_t>(header.subspan(8));
  if (version != format.version) {
    fail(source, "is an llm.c token file of version {}, expected {}", version, format.version);
  }
  const auto body = file.subspan(llmc_header_bytes);
  const std::size_t width = size_bytes(format.type);
  if (tokens < 0 || body.size() != static_cast<std::size_t>(tokens) * width) {
    fail(source, "says that it holds {} tokens of {} bytes, but {} bytes follow its header", tokens, width,
         body.size());
  }
  return {body, format.type, 0};
}

TokenFileBody read_own(std::span<const std::byte> file, const std::string& source) {
  ByteReader reader(file, source, "the token file's header");
  reader.take(own_magic.size());
  const auto version = reader.number<std::uint32_t>();
  const auto width = reader.number<std::uint32_t>();
  const auto tokens = reader.number<std::uint64_t>();
  const auto vocab_size = reader.number<std::uint64_t>();
  if (version != own_version || (width != 2 && width != 4)) {
    fail(source, "is a token file of version {} with {} bytes per token, expected version {} with 2 or 4", version,
         width, own_version);
  }
  const auto body = file.subspan(own_header_bytes);
  if (tokens > body.size() || body.size() != tokens * width) {
    fail(source, "says that it holds {} tokens of {} bytes, but {} bytes follow its header", tokens, width,
         body.size());
  }
  if (vocab_size > std::uint64_t{1} << (8 * width)) {
    fail(source, "says that its tokens are of a vocabulary of {}, more than {} bytes can tell apart", vocab_size,
         width);
  }
  return {body, width == 2 ? TokenType::uint16 : TokenType::uint32, static_cast<std::int64_t>(vocab_size)};
}

/// Reads a file with a header; returns nothing if it has none.
std::optional<TokenFileBody> read_with_header(std::span<const std::byte> file, const std::string& source) {
  if (has_token_file_header(file)) {
    return read_own(file, source);
  }
  if (file.size() < sizeof(std::int32_t)) {
    return std::nullopt;
  }
  const auto magic = load_little_endian<std::int32_t>(file);
  const auto format = std::ranges::find(llmc_formats, magic, &LlmcFormat::magic);
  if (format != llmc_formats.end()) {
    return read_llmc(file, *format, source);
  }
  const auto other = std::ranges::find(llmc_files, magic, &LlmcFile::magic);
  if (other != llmc_files.end() && file.size() >= llmc_header_bytes) {
    fail(source, "is a {} file of llm.c (magic number {}), expected tokens", other->what, magic);
  }
  return std::nullopt;
}

/// Enough numbers to tell types apart by their zeros.
constexpr std::size_t min_judged = 16;
constexpr std::size_t max_judged = std::size_t{1} << 20U;

/// Returns how many of `count` groups may contradict a verdict on all of them: 1 %, at least one of 25 or more.
std::size_t tolerated(std::size_t count) {
  constexpr std::size_t min_tolerant = 25;
  return count < min_tolerant ? 0 : std::max<std::size_t>(1, count / 100);
}

/// Returns whether the uint16 numbers at these positions modulo 4 are at most `limit`, apart from single odd values.
bool are_small(std::span<const std::byte> file, std::initializer_list<std::size_t> positions, unsigned limit) {
  const std::size_t groups = std::min(file.size() / 8, max_judged);
  std::size_t odd = 0;
  for (std::size_t group = 0; group < groups; ++group) {
    const bool small = std::ranges::all_of(positions, [&](std::size_t position) {
      return load_little_endian<std::uint16_t>(file.subspan(2 * (4 * group + position))) <= limit;
    });
    odd += small ? 0 : 1;
  }
  return odd <= tolerated(groups);
}

/// Refuses numbers that are unlikely to be of the type as which they would be read.
void check_bare_uint16(std::span<const std::byte> file, const std::string& option, const std::string& source) {
  if (file.size() / 2 < min_judged) {
    return;
  }
  // Ids of a vocabulary beyond 65536 have small numbers in their upper halves.
  constexpr unsigned max_upper = 15;
  constexpr unsigned min_lower = 255;
  if (file.size() % 8 == 0 && are_small(file, {1, 2, 3}, 0) && !are_small(file, {0}, 0)) {
    fail(source,
         "looks like int64: three of four of its uint16 numbers are 0; give {0} int64, or {0} uint16 if they are right",
         option);
  }
  if (file.size() % 4 == 0 && ((are_small(file, {1, 3}, 0) && !are_small(file, {0, 2}, 0)) ||
                               (are_small(file, {1, 3}, max_upper) && !are_small(file, {0, 2}, min_lower)))) {
    fail(source,
         "looks like uint32: every other one of its uint16 numbers is 0 or almost; give {0} uint32, or {0} uint16 if "
         "they "
         "are right",
         option);
  }
  if (looks_like_text(file)) {
    fail(source,
         "looks like text: its bytes are ASCII; give it a name that ends in .txt, {0} uint8 for a token per byte, or "
         "{0} "
         "uint16 if they are numbers",
         option);
  }
}

}  // namespace

const std::vector<std::string> token_type_words = {"uint8", "uint16", "uint32", "int32", "int64"};

std::size_t size_bytes(TokenType type) {
  switch (type) {
    case TokenType::uint8:
      return 1;
    case TokenType::uint16:
      return 2;
    case TokenType::uint32:
    case TokenType::int32:
      return 4;
    case TokenType::int64:
      return 8;
  }
  return 1;
}

const std::string& to_string(TokenType type) {
  return token_type_words.at(static_cast<std::size_t>(type));
}

TokenType parse_token_type(const std::string& word) {
  const auto found = std::ranges::find(token_type_words, word);
  if (found == token_type_words.end()) {
    throw std::runtime_error(
        fmt::format("'{}' is no type of tokens; expected {}", word, fmt::join(token_type_words, ", ")));
  }
  return static_cast<TokenType>(found - token_type_words.begin());
}

TokenType token_type_of(std::int64_t vocab_size) {
  return vocab_size <= 65536 ? TokenType::uint16 : TokenType::uint32;
}

TokenFileBody read_token_file(std::span<const std::byte> file, const TokenFileOptions& options,
                              const std::string& source) {
  if (const auto body = read_with_header(file, source)) {
    if (options.type && options.type != body->type) {
      fail(source, "has tokens of type {} according to its header, but {} is {}", to_string(body->type),
           options.type_option, to_string(*options.type));
    }
    return *body;
  }
  const TokenType type = options.type.value_or(TokenType::uint16);
  if (!options.type && token_type_of(options.vocab_size) != TokenType::uint16) {
    fail(source,
         "has no header that says how wide its tokens are, and uint16 is too narrow for a vocabulary of {}; give "
         "{} (uint32, int32 or int64)",
         options.vocab_size, options.type_option);
  }
  if (file.size() % size_bytes(type) != 0) {
    fail(source, "has {} bytes, which is not a whole number of {} tokens{}", file.size(), to_string(type),
         options.type ? "" : "; give " + options.type_option + " if they are of another type");
  }
  if (!options.type) {
    check_bare_uint16(file, options.type_option, source);
  }
  return {file, type, 0};
}

bool has_token_file_header(std::span<const std::byte> file) {
  return as_text(file).starts_with(own_magic);
}

bool looks_like_text(std::span<const std::byte> file) {
  const auto judged = file.first(std::min(file.size(), max_judged));
  const auto odd = std::ranges::count_if(judged, [](std::byte byte) {
    const auto value = std::to_integer<unsigned>(byte);
    return (value < 0x20 || value >= 0x7f) && (value < '\t' || value > '\r');
  });
  return static_cast<std::size_t>(odd) <= tolerated(judged.size());
}

std::string token_file_header(TokenType type, std::uint64_t tokens, std::uint64_t vocab_size) {
  std::string header(own_magic);
  const auto append = [&](auto number) { header.append(reinterpret_cast<const char*>(&number), sizeof(number)); };
  append(own_version);
  append(static_cast<std::uint32_t>(size_bytes(type)));
  append(tokens);
  append(vocab_size);
  return header;
}

}  // namespace hessian::models
