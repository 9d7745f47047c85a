#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "hessian/models/shuffled_order.h"
#include "hessian/models/token_data.h"

namespace hessian::models {

struct TrainingDataOptions {
  std::string source = "builtin";  ///< as DataOptions::source
  std::int64_t seq_len = default_seq_len;
  std::int64_t vocab_size = 0;       ///< the model's
  bool accept_larger_vocab = false;  ///< as DataOptions::accept_larger_vocab
  std::uint64_t seed = 0;            ///< of the order
};

/// The sequences that a model is trained on, in a shuffled order that can be entered anywhere, and those held out from
/// it.
///
/// Text and token files: their first nine tenths are cut into windows of seq_len + 1 tokens that do not overlap, so
/// that the last target of one is no input of another; where the cut begins is drawn anew in each epoch. Their last
/// tenth is held out. Safetensors: the rows are the sequences, and the last tenth of them (at least one) is held out.
class TrainingData {
 public:
  /// \throws std::runtime_error  one line, beginning with the file, if it cannot be read or is too short
  static TrainingData open(const TrainingDataOptions& options);

  /// Sequences in one epoch.
  std::int64_t sequences_per_epoch() const { return order_.items(); }

  /// Sequences `position` to `position + count - 1` of the order, which goes on through the epochs without end.
  /// \throws std::runtime_error  if a token is not in the vocabulary
  TokenBatch batch(std::int64_t position, std::int64_t count) const;

  /// Sequences that training never sees: for text and token files windows drawn by `seed`, for a safetensors the first
  /// of the rows held out.
  /// \throws std::runtime_error  if there are fewer than `count`
  TokenBatch held_out(std::int64_t count, std::uint64_t seed) const;

 private:
  /// Either streams or rows.
  struct Streams {
    TokenDataset train;
    TokenDataset held_out;
  };

  TrainingData(TrainingDataOptions options, std::optional<Streams> streams, TokenBatch rows, std::int64_t items,
               std::int64_t shifts);

  TokenBatch take_rows(const std::vector<std::int64_t>& rows) const;

  TrainingDataOptions options_;
  std::optional<Streams> streams_;
  TokenBatch rows_;
  ShuffledOrder order_;
  std::int64_t shifts_;  // number of places at which an epoch's cut may begin
};

}  // namespace hessian::models
