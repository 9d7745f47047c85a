#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

namespace hessian::models {

/// A number that identifies the contents of files well enough to notice that they have changed. It does not protect
/// against contents that are made to collide.
/// Source: FNV-1a with 64 bits; Fowler, Noll, Vo & Eastlake, RFC 9923.
class Digest {
 public:
  Digest& add(std::span<const std::byte> bytes) {
    for (const std::byte byte : bytes) {
      state_ = (state_ ^ std::to_integer<std::uint64_t>(byte)) * 0x100000001b3U;
    }
    return *this;
  }

  std::uint64_t value() const { return state_; }

 private:
  std::uint64_t state_ = 0xcbf29ce484222325U;
};

}  // namespace hessian::models
