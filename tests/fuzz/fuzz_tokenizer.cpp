#include <cstddef>
#include <cstdint>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>

#include "tokenizers/characters.h"
#include "tokenizers/encoder.h"
#include "tokenizers/tiktoken.h"
#include "tokenizers/tokenizer_json.h"

namespace {

using namespace hessian::models;

/// Encodes some texts. Every id must be below the vocabulary size, and must be decoded or refused.
void use(const Encoder& encoder) {
  WordCache cache;
  for (const std::string_view text :
       {"", "In the beginning God created the heaven and the earth.\r\n", "  naïve 12345 don'T\t\t[INST]<|endoftext|> ",
        "\xef\xbb\xbf\xe2\x96\x81 \xf0\x9f\x99\x82\xe2\x80\x8d\xcc\x81\x01"}) {
    try {
      TokenIds ids;
      encoder.encode(text, ids, cache);
      for (const std::int32_t id : ids) {
        if (id < 0 || id >= encoder.vocab_size()) {
          __builtin_trap();
        }
      }
      encoder.decode(ids);
      encoder.frame();
    } catch (const std::runtime_error&) {
      continue;
    }
  }
}

}  // namespace

/// Reads the input as a tokenizer of each kind that this project parses itself.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto bytes = std::as_bytes(std::span(data, size));
  try {
    if (text.starts_with('\x80')) {
      use(*parse_character_pickle(bytes, "input"));
    } else if (looks_like_tiktoken(text)) {
      use(*parse_tiktoken(text, "input"));
    } else {
      use(*parse_tokenizer_json(text, "input"));
    }
  } catch (const std::runtime_error&) {
    return 0;
  }
  return 0;
}
