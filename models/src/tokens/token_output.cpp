#include "tokens/token_output.h"

#include <algorithm>
#include <string>

#include "io/atomic_file.h"
#include "io/byte_reader.h"
#include "io/json_reader.h"
#include "io/mapped_file.h"
#include "io/messages.h"
#include "tokens/token_stream.h"

namespace hessian::models {
namespace {

template <typename Number>
void write_numbers(AtomicFile& file, std::span<const std::int32_t> ids) {
  constexpr std::size_t chunk = std::size_t{1} << 20U;
  std::vector<Number> numbers;
  for (std::size_t begin = 0; begin < ids.size(); begin += chunk) {
    const auto some = ids.subspan(begin, std::min(chunk, ids.size() - begin));
    numbers.resize(some.size());
    std::ranges::transform(some, numbers.begin(), [](std::int32_t id) { return static_cast<Number>(id); });
    file.write(std::as_bytes(std::span(numbers)));
  }
}

void append_id(std::int64_t id, std::vector<std::int32_t>& ids, std::int64_t vocab_size, const std::string& path) {
  if (id < 0 || id >= vocab_size) {
    fail(path, "token {} is {}, but the tokenizer has a vocabulary of {} (ids 0 to {})", ids.size(), id, vocab_size,
         vocab_size - 1);
  }
  ids.push_back(static_cast<std::int32_t>(id));
}

bool looks_like_json(std::span<const std::byte> file) {
  const std::string_view text = as_text(file);
  const auto first = text.find_first_not_of(" \t\r\n");
  return first != std::string_view::npos && text[first] == '{' && looks_like_text(file);
}

std::vector<std::int32_t> parse_ids(std::string_view text, const std::string& path, const std::string& what,
                                    std::int64_t vocab_size) {
  const auto json = parse_json_object(text, path, what);
  const auto list = json.find("ids");
  if (list == json.end() || !list->is_array()) {
    fail(path, "{} has no list 'ids'", what);
  }
  std::vector<std::int32_t> ids;
  for (const auto& id : *list) {
    append_id(json_size(id, path, "an id"), ids, vocab_size, path);
  }
  return ids;
}

/// Parses one object, or one per line if the first line is a whole one.
std::vector<std::vector<std::int32_t>> parse_id_lists(std::string_view text, const std::string& path,
                                                      std::int64_t vocab_size) {
  if (!nlohmann::json::accept(text.substr(0, text.find('\n')))) {
    return {parse_ids(text, path, "the file", vocab_size)};
  }
  std::vector<std::vector<std::int32_t>> lists;
  for (std::size_t number = 1; !text.empty(); ++number) {
    const std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(line.size() + 1, text.size()));
    if (line.find_first_not_of(" \t\r") != std::string_view::npos) {
      lists.push_back(parse_ids(line, path, fmt::format("line {}", number), vocab_size));
    }
  }
  return lists;
}

}  // namespace

std::vector<std::int32_t> encode_file(const Tokenizer& tokenizer, const TextFile& file, std::size_t threads) {
  return with_source(file.path(), [&] {
    std::vector<std::int32_t> ids;
    for (const auto& document : tokenizer.encode_all(file.documents(), threads)) {
      append_ids(tokenizer, document, ids);
    }
    return ids;
  });
}

void append_ids(const Tokenizer& tokenizer, std::span<const std::int32_t> file, std::vector<std::int32_t>& ids) {
  if (const auto end = tokenizer.end_token(); end && !ids.empty()) {
    ids.push_back(*end);
  }
  ids.insert(ids.end(), file.begin(), file.end());
}

std::vector<std::vector<std::int32_t>> read_id_lists(const std::string& path, std::optional<TokenType> type,
                                                     std::int64_t vocab_size) {
  const auto file = MappedFile::open(path);
  if (looks_like_json(file->bytes())) {
    return parse_id_lists(as_text(file->bytes()), path, vocab_size);
  }
  if (!type && looks_like_text(file->bytes())) {
    fail(path, "is text; expected a token file, or ids as JSON");
  }
  const TokenStream stream = TokenStream::bin(file->bytes(), path, {.type = type, .vocab_size = vocab_size});
  if (stream.header_vocab_size() != 0 && stream.header_vocab_size() != vocab_size) {
    fail(path, "has ids of a vocabulary of {} according to its header, but the tokenizer has {} tokens",
         stream.header_vocab_size(), vocab_size);
  }
  std::vector<std::int32_t> ids;
  for (std::int64_t i = 0; i < stream.size(); ++i) {
    append_id(stream[i], ids, vocab_size, path);
  }
  return {ids};
}

void write_token_file(const std::filesystem::path& path, std::span<const std::int32_t> ids, std::int64_t vocab_size,
                      const TokenOutput& options) {
  const TokenType type = token_type_of(vocab_size);
  if (options.bare && type != TokenType::uint16) {
    fail(path.string(), "a bare file has uint16 tokens, which are too narrow for a vocabulary of {}; write a header",
         vocab_size);
  }
  AtomicFile file(path, options.overwrite);
  if (!options.bare) {
    const std::string header = token_file_header(type, ids.size(), static_cast<std::uint64_t>(vocab_size));
    file.write(std::as_bytes(std::span(header)));
  }
  if (type == TokenType::uint16) {
    write_numbers<std::uint16_t>(file, ids);
  } else {
    write_numbers<std::uint32_t>(file, ids);
  }
  file.commit();
}

}  // namespace hessian::models
