#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace hessian::models {

/// A hash map from 64-bit numbers to small values, stored in one array: the pairs of a byte-pair encoding and the edges
/// of a trie are looked up millions of times per second. Keys are never removed.
template <typename Value>
class FlatMap {
 public:
  /// The key that must not be inserted: it marks free slots.
  static constexpr std::uint64_t no_key = ~std::uint64_t{0};

  FlatMap() : slots_(16) {}

  /// Returns the value of a key, or nullptr.
  const Value* find(std::uint64_t key) const {
    for (std::size_t slot = first_slot(key);; slot = (slot + 1) & (slots_.size() - 1)) {
      if (slots_[slot].key == key) {
        return &slots_[slot].value;
      }
      if (slots_[slot].key == no_key) {
        return nullptr;
      }
    }
  }

  /// Returns the value of a key, inserted if it is new. The reference is valid until the next insertion.
  Value& operator[](std::uint64_t key) {
    if (2 * (size_ + 1) > slots_.size()) {
      grow();
    }
    return insert(key);
  }

 private:
  struct Slot {
    std::uint64_t key = no_key;
    Value value{};
  };

  std::size_t first_slot(std::uint64_t key) const {
    key *= 0x9e3779b97f4a7c15U;
    return static_cast<std::size_t>(key ^ (key >> 32U)) & (slots_.size() - 1);
  }

  Value& insert(std::uint64_t key) {
    std::size_t slot = first_slot(key);
    while (slots_[slot].key != key && slots_[slot].key != no_key) {
      slot = (slot + 1) & (slots_.size() - 1);
    }
    if (slots_[slot].key == no_key) {
      slots_[slot].key = key;
      ++size_;
    }
    return slots_[slot].value;
  }

  void grow() {
    std::vector<Slot> old(2 * slots_.size());
    old.swap(slots_);
    size_ = 0;
    for (const Slot& slot : old) {
      if (slot.key != no_key) {
        insert(slot.key) = slot.value;
      }
    }
  }

  std::vector<Slot> slots_;  // the number of slots is a power of two, at most half of them in use
  std::size_t size_ = 0;
};

}  // namespace hessian::models
