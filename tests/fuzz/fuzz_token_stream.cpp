#include <cstddef>
#include <cstdint>
#include <span>
#include <stdexcept>

#include "tokens/token_stream.h"

namespace {

void read_windows(const hessian::models::TokenStream& stream) {
  const std::int64_t border = hessian::models::held_out_begin(stream);
  const auto held_out = stream.part(border, stream.size() - border);
  std::int64_t sum = held_out.size();
  constexpr std::int64_t length = 9;
  for (const auto start : hessian::models::draw_window_starts(stream.size(), 3, length, 1, "input")) {
    if (start < 0 || start > stream.size() - length) {
      __builtin_trap();
    }
    for (std::int64_t i = 0; i < length; ++i) {
      sum += stream[start + i];
    }
  }
  if (sum < 0) {
    __builtin_trap();
  }
}

}  // namespace

/// Reads the input as a token file and as text: up to the last window, unless it is refused.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto bytes = std::as_bytes(std::span(data, size));
  for (const auto open : {hessian::models::TokenStream::bin, hessian::models::TokenStream::text}) {
    try {
      read_windows(open(bytes, "input"));
    } catch (const std::runtime_error&) {
      continue;
    }
  }
  return 0;
}
