#include "hessian/models/training_data.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <utility>

#include "data/shuffled_order.h"
#include "io/messages.h"

namespace hessian::models {
namespace {

/// Returns how many rows of a safetensors are held out.
std::int64_t held_out_rows(std::int64_t rows) {
  return std::max<std::int64_t>(1, rows / 10);
}

DataOptions data_options(const TrainingDataOptions& options) {
  DataOptions data;
  data.source = options.source;
  data.tokenizer = options.tokenizer;
  data.token_type = options.token_type;
  data.seq_len = options.seq_len;
  data.vocab_size = options.vocab_size;
  data.accept_larger_vocab = options.accept_larger_vocab;
  data.names = options.names;
  return data;
}

}  // namespace

TrainingData::TrainingData(TrainingDataOptions options, std::optional<Streams> streams, TokenBatch rows,
                           std::int64_t items, std::int64_t shifts)
    : options_(std::move(options)),
      streams_(std::move(streams)),
      rows_(std::move(rows)),
      order_(std::make_shared<const ShuffledOrder>(items, options_.seed)),
      shifts_(shifts) {}

TrainingData TrainingData::open(const TrainingDataOptions& options) {
  if (options.source.ends_with(".safetensors")) {
    TokenBatch rows = load_token_batch(data_options(options));
    const std::int64_t count = rows.tokens.size(0);
    if (count < 2) {
      fail(options.source, "has one sequence; training needs at least two, since one is held out");
    }
    return {options, std::nullopt, std::move(rows), count - held_out_rows(count), 1};
  }
  auto [train, held_out] = TokenDataset::open_splits(data_options(options));
  Streams streams{std::move(train), std::move(held_out)};
  const std::int64_t window = options.seq_len + 1;
  const std::int64_t total = streams.train.size();
  if (total < window) {
    fail(options.source,
         "has {} tokens to train on (its first nine tenths), but one window takes {} (a sequence of {}, and the token "
         "after it)",
         total, window, options.seq_len);
  }
  // If there is room, the first window may start at any token of the first seq_len + 1.
  const std::int64_t shifts = total >= 2 * window ? window : 1;
  return {options, std::move(streams), {}, (total - (shifts - 1)) / window, shifts};
}

std::int64_t TrainingData::sequences_per_epoch() const {
  return order_->items();
}

TokenBatch TrainingData::batch(std::int64_t position, std::int64_t count) const {
  std::vector<std::int64_t> places;
  for (std::int64_t i = position; i < position + count; ++i) {
    const auto [epoch, item] = order_->at(i);
    places.push_back(streams_ ? order_->draw_for_epoch(epoch, shifts_) + item * (options_.seq_len + 1) : item);
  }
  return streams_ ? streams_->train.windows(places, options_.seq_len) : take_rows(places);
}

TokenBatch TrainingData::held_out(std::int64_t count, std::uint64_t seed) const {
  if (streams_) {
    return streams_->held_out.draw(count, options_.seq_len, seed);
  }
  const std::int64_t there = held_out_rows(rows_.tokens.size(0));
  if (count > there) {
    fail(options_.source, "holds out {} of its {} sequences, but {} are asked for", there, rows_.tokens.size(0), count);
  }
  std::vector<std::int64_t> rows;
  for (std::int64_t row = 0; row < count; ++row) {
    rows.push_back(order_->items() + row);
  }
  return take_rows(rows);
}

TokenBatch TrainingData::take_rows(const std::vector<std::int64_t>& rows) const {
  const at::Tensor index = at::tensor(rows, at::kLong);
  TokenBatch batch{rows_.tokens.index_select(0, index), rows_.targets.index_select(0, index), {}};
  for (const std::int64_t row : rows) {
    batch.offsets.push_back(rows_.offsets[static_cast<std::size_t>(row)]);
  }
  return batch;
}

}  // namespace hessian::models
