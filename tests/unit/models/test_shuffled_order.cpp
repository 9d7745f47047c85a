#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <set>
#include <string>
#include <vector>

#include "data/shuffled_order.h"

using hessian::models::ShuffledOrder;

namespace hessian::tests {
namespace {

/// Returns the items of one epoch in their order.
std::vector<std::int64_t> epoch_of(const ShuffledOrder& order, std::int64_t epoch) {
  std::vector<std::int64_t> items;
  for (std::int64_t i = 0; i < order.items(); ++i) {
    const auto place = order.at(epoch * order.items() + i);
    EXPECT_EQ(place.epoch, epoch);
    items.push_back(place.item);
  }
  return items;
}

/// Returns small numbers, and those around the powers of two and four at which the network grows by a bit.
std::vector<std::int64_t> sizes() {
  std::set<std::int64_t> sizes = {1, 2, 3, 10, 100, 1000};
  for (std::int64_t power = 2; power <= 4096; power *= 2) {
    sizes.insert({power - 1, power, power + 1});
  }
  return {sizes.begin(), sizes.end()};
}

/// Returns Pearson's statistic of counts that should be equal.
double chi_square(const std::vector<int>& counts, double expected) {
  double sum = 0;
  for (const int count : counts) {
    sum += (count - expected) * (count - expected) / expected;
  }
  return sum;
}

TEST(ShuffledOrder, VisitsEveryItemOnceInEveryEpochOfAnySize) {
  for (const std::int64_t items : sizes()) {
    for (const std::uint64_t seed : {std::uint64_t{0}, std::uint64_t{1}, std::numeric_limits<std::uint64_t>::max()}) {
      const ShuffledOrder order(items, seed);
      EXPECT_EQ(order.items(), items);
      for (const std::int64_t epoch : {0, 1, 2, 1000003}) {
        const auto visited = epoch_of(order, epoch);
        const std::set<std::int64_t> different(visited.begin(), visited.end());
        EXPECT_EQ(different.size(), visited.size()) << items << " items, seed " << seed << ", epoch " << epoch;
        EXPECT_EQ(*different.begin(), 0);
        EXPECT_EQ(*different.rbegin(), items - 1);
      }
    }
  }
}

// Two independent orders of 64 items are equal with a probability of 1/64!.
TEST(ShuffledOrder, DiffersFromEpochToEpochAndFromSeedToSeed) {
  std::set<std::vector<std::int64_t>> orders;
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    for (std::int64_t epoch = 0; epoch < 20; ++epoch) {
      orders.insert(epoch_of(ShuffledOrder(64, seed), epoch));
    }
  }
  EXPECT_EQ(orders.size(), 400U);
}

// On average one item keeps its place from one order to an independent one, whatever the number of items; the mean over
// 400 pairs has a standard deviation of 1/20.
TEST(ShuffledOrder, IsIndependentOfTheEpochBeforeAndOfTheNextSeed) {
  double same_as_epoch_before = 0;
  double same_as_next_seed = 0;
  for (std::uint64_t seed = 0; seed < 400; ++seed) {
    const auto first = epoch_of(ShuffledOrder(50, seed), 0);
    const auto second = epoch_of(ShuffledOrder(50, seed), 1);
    const auto other = epoch_of(ShuffledOrder(50, seed + 1), 0);
    for (std::size_t i = 0; i < first.size(); ++i) {
      same_as_epoch_before += first[i] == second[i] ? 1 : 0;
      same_as_next_seed += first[i] == other[i] ? 1 : 0;
    }
  }
  EXPECT_NEAR(same_as_epoch_before / 400, 1.0, 0.25);
  EXPECT_NEAR(same_as_next_seed / 400, 1.0, 0.25);
}

TEST(ShuffledOrder, HasRandomAccess) {
  const ShuffledOrder walked(37, 5);
  std::vector<ShuffledOrder::Place> places;
  for (std::int64_t position = 0; position < 5 * 37; ++position) {
    places.push_back(walked.at(position));
  }
  // Reads the epochs backwards with a new object.
  const ShuffledOrder entered(37, 5);
  for (auto position = static_cast<std::int64_t>(places.size()) - 1; position >= 0; --position) {
    const auto place = entered.at(position);
    EXPECT_EQ(place.epoch, position / 37);
    EXPECT_EQ(place.epoch, places[static_cast<std::size_t>(position)].epoch);
    EXPECT_EQ(place.item, places[static_cast<std::size_t>(position)].item);
  }
}

// Counts how often each item stands at each place, over many seeds. The statistic of n - 1 degrees of freedom has the
// mean n - 1 and the variance 2 (n - 1); six standard deviations are allowed, which chance exceeds about once in a
// million at these sizes. The seeds are fixed, so that the result is too.
TEST(ShuffledOrder, PutsEveryItemInEveryPlaceEquallyOften) {
  constexpr int seeds = 20000;
  for (const std::int64_t items : {2, 3, 4, 5, 7, 16, 17}) {
    const auto count = static_cast<std::size_t>(items);
    std::vector<std::vector<int>> seen(count, std::vector<int>(count, 0));
    for (std::uint64_t seed = 0; seed < seeds; ++seed) {
      const auto order = epoch_of(ShuffledOrder(items, seed), 0);
      for (std::size_t place = 0; place < count; ++place) {
        ++seen[place][static_cast<std::size_t>(order[place])];
      }
    }
    const auto freedom = static_cast<double>(items - 1);
    for (std::size_t place = 0; place < count; ++place) {
      EXPECT_LT(chi_square(seen[place], seeds / static_cast<double>(items)), freedom + 6 * std::sqrt(2 * freedom) + 6)
          << items << " items, place " << place;
    }
  }
}

// All 24 orders of four items, over epochs of one seed: 23 degrees of freedom, so 23 +- 6.8; the 99.999th percentile is
// 68.
TEST(ShuffledOrder, TakesEveryOrderOfFourItemsEquallyOftenOverItsEpochs) {
  constexpr int epochs = 24000;
  const ShuffledOrder order(4, 12345);
  std::vector<std::vector<std::int64_t>> orders;
  std::vector<std::int64_t> next = {0, 1, 2, 3};
  do {
    orders.push_back(next);
  } while (std::next_permutation(next.begin(), next.end()));
  ASSERT_EQ(orders.size(), 24U);
  std::vector<int> counts(orders.size(), 0);
  for (std::int64_t epoch = 0; epoch < epochs; ++epoch) {
    const auto found = std::find(orders.begin(), orders.end(), epoch_of(order, epoch));
    ASSERT_NE(found, orders.end());
    ++counts[static_cast<std::size_t>(found - orders.begin())];
  }
  EXPECT_LT(chi_square(counts, epochs / 24.0), 68.0);
}

// Computed by the same network written in Python with integers of arbitrary size. If these numbers change, every seed
// gives another order, and resumed runs continue with other data.
TEST(ShuffledOrder, IsTheSameOnEveryPlatformAndInEveryVersion) {
  const auto first = [](std::int64_t items, std::uint64_t seed, std::int64_t count) {
    const ShuffledOrder order(items, seed);
    std::vector<std::int64_t> found;
    for (std::int64_t position = 0; position < count; ++position) {
      found.push_back(order.at(position).item);
    }
    return found;
  };
  EXPECT_EQ(first(10, 0, 20), (std::vector<std::int64_t>{2, 7, 1, 6, 9, 4, 8, 0, 5, 3, 9, 1, 7, 6, 8, 2, 4, 5, 3, 0}));
  EXPECT_EQ(first(17, 42, 17), (std::vector<std::int64_t>{9, 3, 7, 0, 5, 10, 11, 4, 6, 16, 14, 12, 1, 2, 8, 13, 15}));
  EXPECT_EQ(first(3, std::numeric_limits<std::uint64_t>::max(), 9),
            (std::vector<std::int64_t>{1, 0, 2, 2, 1, 0, 1, 2, 0}));
  constexpr std::int64_t many = 1000000000000;
  const ShuffledOrder large(many, 7);
  EXPECT_EQ(large.at(0).item, 881251444553);
  EXPECT_EQ(large.at(1).item, 436118384956);
  EXPECT_EQ(large.at(many - 1).item, 940055576263);
  EXPECT_EQ(large.at(many).item, 990707124693);
  EXPECT_EQ(large.at(5 * many + 123456789).item, 719592596830);
}

TEST(ShuffledOrder, WorksForAsManyItemsAsAnIntegerHolds) {
  constexpr std::int64_t items = std::numeric_limits<std::int64_t>::max();
  const ShuffledOrder order(items, 3);
  std::set<std::int64_t> seen;
  for (std::int64_t position = 0; position < 1000; ++position) {
    const auto [epoch, item] = order.at(position);
    EXPECT_EQ(epoch, 0);
    EXPECT_GE(item, 0);
    EXPECT_LT(item, items);
    seen.insert(item);
  }
  EXPECT_EQ(seen.size(), 1000U);
}

TEST(ShuffledOrder, DrawsOneNumberPerEpochWithinItsBound) {
  const ShuffledOrder order(10, 99);
  for (const std::int64_t bound : {1, 2, 3, 129}) {
    std::vector<int> counts(static_cast<std::size_t>(bound), 0);
    for (std::int64_t epoch = 0; epoch < 200 * bound; ++epoch) {
      const std::int64_t drawn = order.draw_for_epoch(epoch, bound);
      ASSERT_GE(drawn, 0);
      ASSERT_LT(drawn, bound);
      EXPECT_EQ(drawn, ShuffledOrder(10, 99).draw_for_epoch(epoch, bound));
      ++counts[static_cast<std::size_t>(drawn)];
    }
    const auto freedom = static_cast<double>(bound - 1);
    EXPECT_LE(chi_square(counts, 200), freedom + 6 * std::sqrt(2 * freedom) + 6) << "bound " << bound;
  }
}

TEST(ShuffledOrder, DrawsOtherNumbersForOtherSeeds) {
  constexpr std::int64_t bound = std::int64_t{1} << 40;
  std::set<std::int64_t> drawn;
  for (std::uint64_t seed = 0; seed < 100; ++seed) {
    drawn.insert(ShuffledOrder(10, seed).draw_for_epoch(0, bound));
  }
  EXPECT_EQ(drawn.size(), 100U);
}

TEST(ShuffledOrder, RefusesNoItemsAndPositionsBeforeTheFirst) {
  EXPECT_THROW(ShuffledOrder(0, 0), std::invalid_argument);
  EXPECT_THROW(ShuffledOrder(-1, 0), std::invalid_argument);
  EXPECT_THROW((void)ShuffledOrder(5, 0).at(-1), std::invalid_argument);
}

}  // namespace
}  // namespace hessian::tests
