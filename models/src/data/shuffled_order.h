#pragma once

#include <cstdint>

namespace hessian::models {

/// A shuffled order of n items, different in every epoch, with random access: any position is computed without the
/// positions before it.
///
/// Position p belongs to epoch p / n. Within an epoch the order is a pseudo-random permutation keyed by seed and epoch:
/// a balanced Feistel network over the smallest even number of bits that holds n, iterated until the result is below n.
/// The same on every platform. Cost: constant time (fewer than four passes through the network on average) and memory.
/// Source: Luby & Rackoff (1988), How to construct pseudorandom permutations; Black & Rogaway (2002), Ciphers with
/// arbitrary finite domains, for iterating until the result is in range (cycle walking).
class ShuffledOrder {
 public:
  /// \throws std::invalid_argument  if items < 1
  ShuffledOrder(std::int64_t items, std::uint64_t seed);

  struct Place {
    std::int64_t epoch = 0;
    std::int64_t item = 0;
  };

  /// Returns the epoch of a position and the item at it.
  /// \throws std::invalid_argument  if the position is negative
  Place at(std::int64_t position) const;

  std::int64_t items() const { return items_; }

  /// Returns a random number that is fixed for an epoch, uniform in [0, bound), for any other draw made once per epoch.
  /// Precondition: bound > 0.
  std::int64_t draw_for_epoch(std::int64_t epoch, std::int64_t bound) const;

 private:
  std::uint64_t permuted(std::uint64_t index, std::uint64_t key) const;

  std::int64_t items_;
  std::uint64_t seed_;
  unsigned half_bits_;
};

}  // namespace hessian::models
