#include "hessian/memory.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <stdexcept>
#include <string>

#include "random_problems.h"
#include "refusal.h"

namespace hessian::tests {
namespace {

using support::refusal_of;

constexpr int64_t mebibyte = int64_t{1} << 20;

at::Tensor allocate(int64_t bytes) {
  return at::zeros({bytes}, at::kByte);
}

// LibTorch rounds allocations up by at most 64 bytes, far less than the mebibytes allocated here.
TEST(MemoryScope, CountsCurrentAndPeakBytes) {
  const MemoryScope scope;
  EXPECT_EQ(scope.current_bytes(), 0);
  at::Tensor a = allocate(3 * mebibyte);
  EXPECT_NEAR(static_cast<double>(scope.current_bytes()), 3.0 * mebibyte, 1024);
  at::Tensor b = allocate(2 * mebibyte);
  a.reset();
  EXPECT_NEAR(static_cast<double>(scope.current_bytes()), 2.0 * mebibyte, 1024);
  EXPECT_NEAR(static_cast<double>(scope.peak_bytes()), 5.0 * mebibyte, 1024);
  b.reset();
  EXPECT_EQ(scope.current_bytes(), 0);
  EXPECT_NEAR(static_cast<double>(scope.peak_bytes()), 5.0 * mebibyte, 1024);
}

TEST(MemoryScope, NestsWithoutLosingTheOuterPeak) {
  const MemoryScope outer;
  const at::Tensor kept = allocate(mebibyte);
  allocate(6 * mebibyte);
  {
    const MemoryScope inner;
    EXPECT_EQ(inner.current_bytes(), 0);
    EXPECT_EQ(inner.peak_bytes(), 0) << "the peak before the inner scope does not belong to it";
    allocate(2 * mebibyte);
    EXPECT_NEAR(static_cast<double>(inner.peak_bytes()), 2.0 * mebibyte, 1024);
  }
  EXPECT_NEAR(static_cast<double>(outer.peak_bytes()), 7.0 * mebibyte, 1024);
  {
    const MemoryScope inner;
    allocate(9 * mebibyte);
  }
  EXPECT_NEAR(static_cast<double>(outer.peak_bytes()), 10.0 * mebibyte, 1024)
      << "the peak of an inner scope counts for the outer one";
  EXPECT_NEAR(static_cast<double>(outer.current_bytes()), 1.0 * mebibyte, 1024);
}

TEST(MemoryScope, StartsFromZeroEachTime) {
  {
    const MemoryScope first;
    allocate(4 * mebibyte);
  }
  const MemoryScope second;
  EXPECT_EQ(second.current_bytes(), 0);
  EXPECT_EQ(second.peak_bytes(), 0);
}

TEST(AvailableMemory, IsPositiveOnTheProcessor) {
  const auto bytes = available_memory_bytes(at::kCPU);
  ASSERT_TRUE(bytes.has_value());
  EXPECT_GT(*bytes, mebibyte);
}

TEST(ParseBytes, ReadsEveryUnitInAnyCaseWithAndWithoutASpace) {
  EXPECT_EQ(parse_bytes("1000000"), 1000000);
  EXPECT_EQ(parse_bytes("17 B"), 17);
  EXPECT_EQ(parse_bytes("8GiB"), 8589934592);
  EXPECT_EQ(parse_bytes("512 MiB"), 536870912);
  EXPECT_EQ(parse_bytes("0.5kib"), 512);
  EXPECT_EQ(parse_bytes("2TiB"), 2199023255552);
  EXPECT_EQ(parse_bytes("3KB"), 3000);
  EXPECT_EQ(parse_bytes("1.5 mb"), 1500000);
  EXPECT_EQ(parse_bytes("2GB"), 2000000000);
  EXPECT_EQ(parse_bytes("1TB"), 1000000000000);
}

TEST(ParseBytes, RefusesTextThatIsNotAnAmountOfMemory) {
  for (const std::string text : {"", "GiB", "8 gigs", "8GiBs", "8G", "-1GiB", "0", "0.3", "nan", "inf", "1e30",
                                 "8GiB 2", "8,5GiB", "9000000TiB"}) {
    EXPECT_EQ(refusal_of<std::invalid_argument>([&] { parse_bytes(text); }),
              "'" + text + "' is not an amount of memory; write it as 8GiB, 512MiB or 2GB");
  }
}

TEST(FormatBytes, WritesTwoDigitsOrMore) {
  EXPECT_EQ(format_bytes(512), "0.5 KiB");
  EXPECT_EQ(format_bytes(812 * mebibyte), "812 MiB");
  EXPECT_EQ(format_bytes(8482560410), "7.9 GiB");
  EXPECT_EQ(format_bytes(mebibyte), "1.0 MiB");
  EXPECT_EQ(format_bytes(40 * 1024 * mebibyte), "40 GiB");
}

TEST(FormatBytes, IsReadBackToTheDigitsWritten) {
  support::Random random(1);
  for (int i = 0; i < 300; ++i) {
    const auto bytes = static_cast<int64_t>(std::exp2(6 + 36 * random.integers(0, 1000, {1}).item<double>() / 1000));
    // The last digit is a tenth below 10 and a unit above: at most 5 percent.
    EXPECT_NEAR(static_cast<double>(parse_bytes(format_bytes(bytes))), static_cast<double>(bytes),
                std::max(0.05 * static_cast<double>(bytes), 52.0))
        << bytes << ", seed 1";
  }
}

}  // namespace
}  // namespace hessian::tests
