#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <set>

#include "formats/safetensors.h"
#include "hessian/models/training_data.h"
#include "loader_support.h"
#include "refusal.h"
#include "tokens/token_stream.h"

using hessian::models::TokenBatch;
using hessian::models::TrainingData;
using hessian::models::TrainingDataOptions;
using hessian::support::refusal_of;
using hessian::support::TemporaryFolder;

namespace hessian::tests {
namespace {

constexpr std::int64_t many_words = 60000;

/// Writes a token file whose token at position i is i, so that tokens tell their position.
std::string counting_file(const TemporaryFolder& folder, std::int64_t tokens) {
  std::string bytes;
  for (std::int64_t i = 0; i < tokens; ++i) {
    bytes += support::little_endian(static_cast<std::uint16_t>(i));
  }
  return folder.write("counting.bin", bytes);
}

TrainingDataOptions options_for(const std::string& source, std::int64_t seq_len, std::uint64_t seed = 0) {
  TrainingDataOptions options;
  options.source = source;
  options.seq_len = seq_len;
  options.vocab_size = many_words;
  options.seed = seed;
  return options;
}

/// Writes a safetensors file of `rows` sequences. Row r holds tokens 100 r, 100 r + 1, ... and targets that are not the
/// next tokens.
std::string rows_file(const TemporaryFolder& folder, std::int64_t rows, std::int64_t length) {
  hessian::Parameters tensors;
  const at::Tensor tokens = at::arange(rows).mul(100).unsqueeze(1) + at::arange(length);
  tensors.add("tokens", tokens);
  tensors.add("targets", tokens + 50);
  models::save_safetensors(folder / "rows.safetensors", tensors, {});
  return folder / "rows.safetensors";
}

/// Returns every number in a window of seq_len + 1 tokens of the counting file.
std::vector<std::int64_t> window(const TokenBatch& batch, std::int64_t row) {
  std::vector<std::int64_t> numbers;
  for (std::int64_t i = 0; i < batch.tokens.size(1); ++i) {
    numbers.push_back(batch.tokens[row][i].item<std::int64_t>());
  }
  numbers.push_back(batch.targets[row][batch.targets.size(1) - 1].item<std::int64_t>());
  return numbers;
}

void expect_equal(const TokenBatch& actual, const TokenBatch& expected) {
  EXPECT_TRUE(actual.tokens.equal(expected.tokens));
  EXPECT_TRUE(actual.targets.equal(expected.targets));
  EXPECT_EQ(actual.offsets, expected.offsets);
}

std::string refusal(const TrainingDataOptions& options) {
  return support::refusal_about(options.source, [&] { TrainingData::open(options); });
}

// 1000 tokens, 900 of them for training, windows of 8: the cut begins at 0 to 7, so 893 / 8 = 111 windows fit always.
TEST(TrainingData, CutsEachEpochIntoWindowsThatDoNotOverlapAndLieInTheFirstNineTenths) {
  const TemporaryFolder folder;
  const auto data = TrainingData::open(options_for(counting_file(folder, 1000), 7));
  const std::int64_t items = data.sequences_per_epoch();
  ASSERT_EQ(items, 111);
  std::set<std::int64_t> shifts;
  for (std::int64_t epoch = 0; epoch < 12; ++epoch) {
    const TokenBatch batch = data.batch(epoch * items, items);
    ASSERT_EQ(batch.tokens.sizes(), at::IntArrayRef({items, 7}));
    ASSERT_EQ(batch.targets.sizes(), at::IntArrayRef({items, 7}));
    EXPECT_TRUE(batch.targets.equal(batch.tokens + 1)) << "targets are not the next tokens";
    std::set<std::int64_t> seen;
    for (std::int64_t row = 0; row < items; ++row) {
      const auto numbers = window(batch, row);
      EXPECT_EQ(numbers.front(), batch.offsets[static_cast<std::size_t>(row)]);
      shifts.insert(numbers.front() % 8);
      seen.insert(numbers.begin(), numbers.end());
    }
    // No token twice, not even as the target of one sequence and the input of another.
    EXPECT_EQ(static_cast<std::int64_t>(seen.size()), items * 8) << "epoch " << epoch;
    EXPECT_LT(*seen.rbegin(), 900);
  }
  EXPECT_GT(shifts.size(), 3U) << "the cut begins at the same place in every epoch";
}

TEST(TrainingData, KeepsTheFirstStartThroughAnEpochAndDrawsAnotherInTheNext) {
  const TemporaryFolder folder;
  const auto data = TrainingData::open(options_for(counting_file(folder, 2000), 9, 4));
  const std::int64_t items = data.sequences_per_epoch();
  std::set<std::int64_t> begins;
  for (std::int64_t epoch = 0; epoch < 40; ++epoch) {
    std::set<std::int64_t> shifts;
    for (const std::int64_t offset : data.batch(epoch * items, items).offsets) {
      shifts.insert(offset % 10);
    }
    EXPECT_EQ(shifts.size(), 1U);
    begins.insert(shifts.begin(), shifts.end());
  }
  // 40 draws of ten numbers: fewer than seven different ones come up less than once in 1e6 times.
  EXPECT_GE(begins.size(), 7U);
}

TEST(TrainingData, GivesTheSameSequencesInBatchesOfAnySize) {
  const unsigned seed = 20240607;
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937 random(seed);
  const TemporaryFolder folder;
  for (const std::string& source : {counting_file(folder, 700), rows_file(folder, 23, 9)}) {
    const auto data = TrainingData::open(options_for(source, 9, 8));
    const std::int64_t length = 3 * data.sequences_per_epoch() + 5;
    const TokenBatch whole = data.batch(0, length);
    for (int trial = 0; trial < 50; ++trial) {
      const auto count = static_cast<std::int64_t>(1 + random() % 20);
      const auto position = static_cast<std::int64_t>(random() % static_cast<unsigned>(length - count + 1));
      const auto begin = whole.offsets.begin() + position;
      // Reopened, so that no state is left of earlier batches.
      expect_equal(
          TrainingData::open(options_for(source, 9, 8)).batch(position, count),
          {whole.tokens.narrow(0, position, count), whole.targets.narrow(0, position, count), {begin, begin + count}});
    }
  }
}

TEST(TrainingData, DependsOnlyOnTheSeed) {
  const TemporaryFolder folder;
  const std::string source = counting_file(folder, 1000);
  const auto offsets = [&](std::uint64_t seed) {
    return TrainingData::open(options_for(source, 7, seed)).batch(0, 50).offsets;
  };
  EXPECT_EQ(offsets(3), offsets(3));
  EXPECT_NE(offsets(3), offsets(4));
}

TEST(TrainingData, HoldsOutWindowsThatTrainingNeverTouches) {
  const TemporaryFolder folder;
  const auto data = TrainingData::open(options_for(counting_file(folder, 1000), 7));
  for (const std::uint64_t seed : {0U, 1U, 2U}) {
    const TokenBatch batch = data.held_out(10, seed);
    ASSERT_EQ(batch.tokens.sizes(), at::IntArrayRef({10, 7}));
    EXPECT_TRUE(batch.targets.equal(batch.tokens + 1));
    EXPECT_GE(batch.tokens.min().item<std::int64_t>(), 900);
    EXPECT_LT(batch.targets.max().item<std::int64_t>(), 1000);
    expect_equal(data.held_out(10, seed), batch);
  }
  EXPECT_NE(data.held_out(10, 0).offsets, data.held_out(10, 1).offsets);
}

TEST(TrainingData, HoldsOutTheSameSequencesForEverySeedOfTheOrder) {
  const TemporaryFolder folder;
  const std::string source = counting_file(folder, 1000);
  expect_equal(TrainingData::open(options_for(source, 7, 1)).held_out(5, 0),
               TrainingData::open(options_for(source, 7, 2)).held_out(5, 0));
}

TEST(TrainingData, ReadsTextAsBytesAndHoldsOutItsLastLines) {
  const TemporaryFolder folder;
  std::string text;
  for (int line = 0; line < 60; ++line) {
    text += "line " + std::to_string(line) + " of the text\n";
  }
  auto options = options_for(folder.write("t.txt", text), 12);
  options.vocab_size = 256;
  const auto data = TrainingData::open(options);
  const auto expect_bytes_of_the_text = [&](const TokenBatch& batch) {
    for (std::int64_t row = 0; row < batch.tokens.size(0); ++row) {
      for (std::int64_t i = 0; i < 12; ++i) {
        const auto position = static_cast<std::size_t>(batch.offsets[static_cast<std::size_t>(row)] + i);
        EXPECT_EQ(batch.tokens[row][i].item<std::int64_t>(), text[position]);
        EXPECT_EQ(batch.targets[row][i].item<std::int64_t>(), text[position + 1]);
      }
    }
  };
  const auto border = static_cast<std::int64_t>(text.find('\n', text.size() * 9 / 10) + 1);
  const TokenBatch train = data.batch(0, 2 * data.sequences_per_epoch());
  expect_bytes_of_the_text(train);
  EXPECT_LE(*std::max_element(train.offsets.begin(), train.offsets.end()) + 13, border);
  const TokenBatch held_out = data.held_out(4, 0);
  expect_bytes_of_the_text(held_out);
  EXPECT_GE(*std::min_element(held_out.offsets.begin(), held_out.offsets.end()), border);
}

// 25 rows: the last two, a tenth, are held out.
TEST(TrainingData, TakesRowsOfASafetensorsAndHoldsTheLastTenthOut) {
  const TemporaryFolder folder;
  const auto data = TrainingData::open(options_for(rows_file(folder, 25, 6), 6));
  ASSERT_EQ(data.sequences_per_epoch(), 23);
  for (std::int64_t epoch = 0; epoch < 5; ++epoch) {
    const TokenBatch batch = data.batch(epoch * 23, 23);
    std::set<std::int64_t> rows;
    for (std::int64_t i = 0; i < 23; ++i) {
      const auto row = batch.tokens[i][0].item<std::int64_t>() / 100;
      rows.insert(row);
      EXPECT_TRUE(batch.tokens[i].equal(at::arange(6) + 100 * row));
      EXPECT_TRUE(batch.targets[i].equal(at::arange(6) + 100 * row + 50));
      EXPECT_EQ(batch.offsets[static_cast<std::size_t>(i)], 6 * row);
    }
    EXPECT_EQ(rows.size(), 23U);
    EXPECT_EQ(*rows.rbegin(), 22);
  }
  const TokenBatch held_out = data.held_out(2, 77);
  EXPECT_TRUE(held_out.tokens.equal(at::tensor({2300, 2400}).unsqueeze(1) + at::arange(6)));
  EXPECT_TRUE(held_out.targets.equal(held_out.tokens + 50));
  EXPECT_EQ(held_out.offsets, (std::vector<std::int64_t>{138, 144}));
  EXPECT_TRUE(data.held_out(1, 0).tokens.equal(held_out.tokens.narrow(0, 0, 1)));
}

TEST(TrainingData, HoldsOutOneOfTwoRowsAndCutsRowsToTheSequenceLength) {
  const TemporaryFolder folder;
  const auto data = TrainingData::open(options_for(rows_file(folder, 2, 6), 4));
  EXPECT_EQ(data.sequences_per_epoch(), 1);
  EXPECT_TRUE(data.batch(0, 3).tokens.equal(at::arange(4).expand({3, 4})));
  EXPECT_TRUE(data.held_out(1, 0).tokens.equal(at::arange(4).unsqueeze(0) + 100));
}

// If the training tokens hold one window of 8, it starts at token 0; if they hold two or more, the first start is
// drawn.
TEST(TrainingData, UsesTheShortestFileThatHoldsOneWindow) {
  const TemporaryFolder folder;
  for (const std::int64_t train : {8, 9, 15, 16, 17, 24, 25}) {
    std::int64_t total = train;
    while (total - total / 10 < train) {
      ++total;
    }
    const auto data = TrainingData::open(options_for(counting_file(folder, total), 7));
    ASSERT_GE(data.sequences_per_epoch(), 1);
    const TokenBatch batch = data.batch(0, 100 * data.sequences_per_epoch());
    EXPECT_LT(batch.targets.max().item<std::int64_t>(), train) << train;
    const std::set<std::int64_t> begins(batch.offsets.begin(), batch.offsets.end());
    if (train >= 16) {
      EXPECT_GE(begins.size(), 8U) << train;
    } else {
      EXPECT_EQ(begins, std::set<std::int64_t>{0}) << train;
    }
  }
}

TEST(TrainingData, NamesDataThatAreTooShort) {
  const TemporaryFolder folder;
  EXPECT_EQ(refusal(options_for(counting_file(folder, 10), 20)),
            "has 9 tokens to train on (its first nine tenths), but one window takes 21 (a sequence of 20, and the "
            "token after it)");
  const auto short_tail = options_for(counting_file(folder, 100), 20);
  const auto data = TrainingData::open(short_tail);
  EXPECT_EQ(
      refusal_of([&] { data.held_out(1, 0); }),
      short_tail.source +
          ": its last tenth, which training leaves out, has 10 tokens, but one window takes 21 (a sequence of 20, "
          "and the token after it)");
  EXPECT_EQ(refusal(options_for(rows_file(folder, 1, 6), 6)),
            "has one sequence; training needs at least two, since one is held out");
  const auto rows = options_for(rows_file(folder, 25, 6), 6);
  const auto few = TrainingData::open(rows);
  EXPECT_EQ(refusal_of([&] { few.held_out(3, 0); }),
            rows.source + ": holds out 2 of its 25 sequences, but 3 are asked for");
  EXPECT_EQ(refusal(options_for(rows.source, 7)), "has 6 tokens in a sequence, but 7 are asked for");
  EXPECT_EQ(refusal(options_for(folder / "absent.bin", 7)), "no such file");
}

TEST(TrainingData, NamesATokenBeyondTheVocabulary) {
  const TemporaryFolder folder;
  auto options = options_for(counting_file(folder, 100), 7);
  options.vocab_size = 80;
  EXPECT_EQ(refusal_of([&] { TrainingData::open(options); }),
            options.source + ": token 80 is 80, but the model has a vocabulary of 80 (ids 0 to 79)");
}

}  // namespace
}  // namespace hessian::tests
