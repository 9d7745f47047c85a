#include "data/shuffled_order.h"

#include <bit>
#include <random>
#include <stdexcept>
#include <string>

#include "tokens/token_stream.h"

namespace hessian::models {
namespace {

/// Maps 64-bit numbers bijectively, with every input bit affecting all output bits. Source: the finaliser of
/// SplitMix64, Steele, Lea & Flood (2014), Fast splittable pseudorandom number generators.
std::uint64_t mix(std::uint64_t x) {
  x += 0x9e3779b97f4a7c15U;
  x = (x ^ (x >> 30U)) * 0xbf58476d1ce4e5b9U;
  x = (x ^ (x >> 27U)) * 0x94d049bb133111ebU;
  return x ^ (x >> 31U);
}

/// Returns the key of an epoch, mixed twice so that neighbouring seeds and epochs are unrelated.
std::uint64_t epoch_key(std::uint64_t seed, std::int64_t epoch) {
  return mix(mix(seed) ^ static_cast<std::uint64_t>(epoch));
}

}  // namespace

ShuffledOrder::ShuffledOrder(std::int64_t items, std::uint64_t seed) : items_(items), seed_(seed), half_bits_(1) {
  if (items < 1) {
    throw std::invalid_argument("an order of " + std::to_string(items) + " items; there has to be at least one");
  }
  const auto bits = static_cast<unsigned>(std::bit_width(static_cast<std::uint64_t>(items - 1)));
  half_bits_ = bits < 2 ? 1 : (bits + 1) / 2;
}

std::uint64_t ShuffledOrder::permuted(std::uint64_t index, std::uint64_t key) const {
  constexpr std::uint64_t rounds = 6;
  const std::uint64_t mask = (std::uint64_t{1} << half_bits_) - 1;
  std::uint64_t left = index >> half_bits_;
  std::uint64_t right = index & mask;
  for (std::uint64_t round = 0; round < rounds; ++round) {
    const std::uint64_t next = left ^ (mix(key ^ mix((right << 8U) | round)) & mask);
    left = right;
    right = next;
  }
  return (left << half_bits_) | right;
}

ShuffledOrder::Place ShuffledOrder::at(std::int64_t position) const {
  if (position < 0) {
    throw std::invalid_argument("position " + std::to_string(position) + " of an order that begins at 0");
  }
  const std::int64_t epoch = position / items_;
  const std::uint64_t key = epoch_key(seed_, epoch);
  // The network permutes a power of four of numbers; results beyond the items are permuted again.
  auto item = static_cast<std::uint64_t>(position % items_);
  do {
    item = permuted(item, key);
  } while (item >= static_cast<std::uint64_t>(items_));
  return {epoch, static_cast<std::int64_t>(item)};
}

std::int64_t ShuffledOrder::draw_for_epoch(std::int64_t epoch, std::int64_t bound) const {
  std::mt19937_64 generator(epoch_key(~seed_, epoch));
  return static_cast<std::int64_t>(bounded_draw(generator, static_cast<std::uint64_t>(bound)));
}

}  // namespace hessian::models
