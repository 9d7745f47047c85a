#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "hessian/models/token_data.h"

namespace hessian::models {

struct TrainingDataOptions {
  std::string source = "builtin";  ///< as DataOptions::source
  std::string tokenizer = {};      ///< as DataOptions::tokenizer
  std::string token_type = {};     ///< as DataOptions::token_type
  std::int64_t seq_len = default_seq_len;
  std::int64_t vocab_size = 0;       ///< the model's
  bool accept_larger_vocab = false;  ///< as DataOptions::accept_larger_vocab
  DataOptionNames names = {};
  std::uint64_t seed = 0;  ///< seed of the order
};

class ShuffledOrder;

/// The sequences that a model is trained on, in a shuffled order that can be resumed at any position, and the sequences
/// held out for validation.
///
/// Text and token files: their first nine tenths are cut into windows of seq_len + 1 tokens that do not overlap, so
/// that the last target of one window is not an input of another. Each epoch draws a new start of the first window. The
/// last tenth is held out. Safetensors: the rows are the sequences; the last tenth of them (at least one) is held out.
class TrainingData {
 public:
  /// \throws std::runtime_error  one line, beginning with the file, if it cannot be read or is too short
  static TrainingData open(const TrainingDataOptions& options);

  /// Returns the number of sequences in one epoch.
  std::int64_t sequences_per_epoch() const;

  /// Returns sequences `position` to `position + count - 1` of the order, which continues through the epochs endlessly.
  /// \throws std::runtime_error  if a token is not in the vocabulary
  TokenBatch batch(std::int64_t position, std::int64_t count) const;

  /// Returns held-out sequences, which training never sees: random windows of a text or token file, the first of the
  /// held-out rows of a safetensors.
  /// \throws std::runtime_error  if there are fewer than `count`
  TokenBatch held_out(std::int64_t count, std::uint64_t seed) const;

 private:
  /// The two splits of a text or token file; a safetensors has rows_ instead.
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
  std::shared_ptr<const ShuffledOrder> order_;
  std::int64_t shifts_;  // number of positions at which the first window of an epoch may start
};

}  // namespace hessian::models
