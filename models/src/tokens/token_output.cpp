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

std::vector<std::int32_t> read_ids(const std::string& path, std::optional<TokenType> type, std::int64_t vocab_size) {
  const auto file = MappedFile::open(path);
  std::vector<std::int32_t> ids;
  const auto append = [&](std::int64_t id) {
    if (id < 0 || id >= vocab_size) {
      fail(path, "token {} is {}, but the tokenizer has a vocabulary of {} (ids 0 to {})", ids.size(), id, vocab_size,
           vocab_size - 1);
    }
    ids.push_back(static_cast<std::int32_t>(id));
  };
  if (path.ends_with(".json")) {
    const auto json = parse_json_object(as_text(file->bytes()), path, "the file");
    const auto list = json.find("ids");
    if (list == json.end() || !list->is_array()) {
      fail(path, "has no list 'ids'");
    }
    for (const auto& id : *list) {
      append(json_size(id, path, "an id"));
    }
    return ids;
  }
  const TokenStream stream = TokenStream::bin(file->bytes(), path, {.type = type, .vocab_size = vocab_size});
  for (std::int64_t i = 0; i < stream.size(); ++i) {
    append(stream[i]);
  }
  return ids;
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
