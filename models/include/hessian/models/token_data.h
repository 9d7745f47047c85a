#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "hessian/models/mapped_file.h"
#include "hessian/models/token_stream.h"

namespace hessian::models {

/// Sequences for a language model: `targets` are the tokens one place further on.
struct TokenBatch {
  at::Tensor tokens;                  ///< [S, T] int64
  at::Tensor targets;                 ///< [S, T] int64
  std::vector<std::int64_t> offsets;  ///< where each sequence begins, in tokens from the start of the file
};

/// The first nine tenths of a text or token file, or its last tenth.
enum class Split { train, held_out };

inline constexpr std::int64_t default_sequences = 8;
inline constexpr std::int64_t default_seq_len = 128;

struct DataOptions {
  /// A UTF-8 text (bytes as tokens), a token `.bin` of nanoGPT or llm.c, a `.safetensors` with `tokens` and `targets`
  /// [B, T], or "builtin": the King James Bible.
  std::string source = "builtin";
  std::int64_t sequences = 0;  ///< 0: all rows of a safetensors, default_sequences otherwise
  /// 0: the length of a safetensors' rows; otherwise default_seq_len, or max_seq_len where that is shorter
  std::int64_t seq_len = 0;
  std::int64_t max_seq_len = default_seq_len;  ///< the longest sequence that the model takes
  std::uint64_t seed = 0;                      ///< draws the windows; a safetensors is taken from its first row on
  std::int64_t vocab_size = 0;                 ///< the model's
  bool accept_larger_vocab = false;  ///< take text with a vocabulary of more than 256 too (a freshly drawn model)
  std::optional<Split> split;  ///< absent: held_out of builtin, the whole of any other file; unused by a safetensors
};

/// Text or a token file, opened once to draw many batches from.
class TokenDataset {
 public:
  /// \param options  source, vocab_size, accept_larger_vocab and split are used
  /// \throws std::runtime_error  one line, beginning with the file
  static TokenDataset open(const DataOptions& options);

  std::int64_t size() const { return stream_.size(); }  ///< tokens in the split
  std::int64_t begin_offset() const { return begin_; }  ///< where the split begins in the file, in tokens
  const std::string& source() const { return source_; }

  /// Different windows at random places; see draw_window_starts.
  /// \throws std::runtime_error  if there are too few tokens, or one is not in the vocabulary
  TokenBatch draw(std::int64_t sequences, std::int64_t seq_len, std::uint64_t seed) const;

  /// Windows at given places of the split, in tokens from its start.
  /// \throws std::runtime_error  if a window reaches beyond the end, or a token is not in the vocabulary
  TokenBatch windows(const std::vector<std::int64_t>& starts, std::int64_t seq_len) const;

 private:
  TokenDataset(std::shared_ptr<const MappedFile> file, std::string source, TokenStream stream, std::int64_t begin,
               std::int64_t vocab_size);

  std::shared_ptr<const MappedFile> file_;
  std::string source_;
  TokenStream stream_;
  std::int64_t begin_;
  std::int64_t vocab_size_;
};

/// The batch that a probe looks at. Text and token files: `sequences` windows of seq_len + 1 tokens, drawn by the seed.
/// Safetensors: its rows as they are, the first `sequences` of them, cut to their first `seq_len` positions.
/// \throws std::runtime_error  one line, beginning with the file; a token that the model does not have is named with
///                             its position
TokenBatch load_token_batch(const DataOptions& options);

/// Path of the built-in text, kjv.txt: in the folder of the environment variable HESSIAN_DATA_DIR, beside the installed
/// programs (../share/hessian), or in the data folder of the source tree that was built.
/// \throws std::runtime_error  how to get the text, if it is in none of them
std::string find_builtin_text();

}  // namespace hessian::models
