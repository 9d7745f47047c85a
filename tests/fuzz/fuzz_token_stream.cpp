#include <cstddef>
#include <cstdint>
#include <span>
#include <stdexcept>

#include "tokens/token_stream.h"

namespace {

using hessian::models::TokenStream;

void read_windows(const TokenStream& stream) {
  const std::int64_t border = hessian::models::held_out_begin(stream);
  const auto held_out = stream.part(border, stream.size() - border);
  std::int64_t seen = held_out.size();
  constexpr std::int64_t length = 9;
  for (const auto start : hessian::models::draw_window_starts(stream.size(), 3, length, 1, "input")) {
    if (start < 0 || start > stream.size() - length) {
      __builtin_trap();
    }
    for (std::int64_t i = 0; i < length; ++i) {
      seen += stream[start + i] == 0 ? 0 : 1;
    }
  }
  if (seen < 0) {
    __builtin_trap();
  }
}

}  // namespace

/// Reads the input as a token file of every type and as text: up to the last window, unless it is refused.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using hessian::models::TokenType;
  const auto bytes = std::as_bytes(std::span(data, size));
  try {
    read_windows(TokenStream::text(bytes, "input"));
  } catch (const std::runtime_error&) {
    // Refused: the token files follow.
  }
  for (const std::optional<TokenType> type : {std::optional<TokenType>(), std::optional(TokenType::uint8),
                                              std::optional(TokenType::int32), std::optional(TokenType::int64)}) {
    try {
      read_windows(TokenStream::bin(bytes, "input", {.type = type}));
    } catch (const std::runtime_error&) {
      continue;
    }
  }
  return 0;
}
