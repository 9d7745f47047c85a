#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "io/messages.h"

namespace hessian::models {

static_assert(std::endian::native == std::endian::little, "the file formats here are read as little-endian memory");

/// Loads the little-endian number at the start of `bytes`. Precondition: `bytes` is long enough.
template <typename Number>
Number load_little_endian(std::span<const std::byte> bytes) {
  Number number;
  std::memcpy(&number, bytes.data(), sizeof(Number));
  return number;
}

inline std::string_view as_text(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

/// Reads numbers and byte ranges one after another, with bounds checks.
class ByteReader {
 public:
  /// \param what  description of the bytes, for the message: "the pickle"
  ByteReader(std::span<const std::byte> bytes, const std::string& source, const char* what)
      : bytes_(bytes), source_(source), what_(what) {}

  std::size_t position() const { return position_; }
  std::size_t remaining() const { return bytes_.size() - position_; }

  std::span<const std::byte> take(std::uint64_t count) {
    if (count > remaining()) {
      fail(source_, "{} ends at its byte {}, in the middle of a value", what_, bytes_.size());
    }
    const auto taken = bytes_.subspan(position_, static_cast<std::size_t>(count));
    position_ += taken.size();
    return taken;
  }

  template <typename Number>
  Number number() {
    return load_little_endian<Number>(take(sizeof(Number)));
  }

 private:
  std::span<const std::byte> bytes_;
  const std::string& source_;
  const char* what_;
  std::size_t position_ = 0;
};

}  // namespace hessian::models
