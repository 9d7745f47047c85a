#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace hessian::models {

/// Sequences for a language model: `targets` holds the token after each one of `tokens`.
struct TokenBatch {
  at::Tensor tokens;                  ///< [S, T] int64
  at::Tensor targets;                 ///< [S, T] int64
  std::vector<std::int64_t> offsets;  ///< start of each sequence, in tokens from the start of the file
};

/// The first nine tenths of a text or token file, or its last tenth.
enum class Split { train, held_out };

inline constexpr std::int64_t default_sequences = 8;
inline constexpr std::int64_t default_seq_len = 128;

/// The tokenizer's name if there is none: every byte of a text is a token.
inline constexpr const char* bytes_tokenizer = "bytes";

/// Names of the options that set DataOptions, for messages.
struct DataOptionNames {
  std::string source = "--data";
  std::string tokenizer = "--tokenizer";
  std::string token_type = "--token-type";
};

struct DataOptions {
  /// UTF-8 text: a file, a folder of text files, or several of these with commas between them (*.txt, or *.jsonl with a
  /// document in the field "text" of each line, and .gz of these); a token `.bin` of hessian-tokens, nanoGPT or llm.c; a
  /// `.safetensors` with `tokens` and `targets` [B, T]; or "builtin": the King James Bible.
  std::string source = "builtin";
  /// File or folder of the tokenizer that encodes text, see Tokenizer::load(). With tokens as the source, it is only
  /// checked against the vocabulary. "bytes": a token per byte, for a vocabulary of at least 256. Empty: a token per byte,
  /// for a vocabulary of 256.
  std::string tokenizer = {};
  /// Whether every window begins with the tokenizer's beginning token, followed by seq_len tokens of the data.
  bool begin_token = false;
  std::string token_type =
      {};  ///< type of a `.bin` without a header: uint8, uint16, uint32, int32, int64; empty: uint16
  std::int64_t sequences = 0;  ///< 0: all rows of a safetensors, default_sequences otherwise
  /// 0: the length of a safetensors' rows; otherwise default_seq_len, or max_seq_len if that is shorter
  std::int64_t seq_len = 0;
  std::int64_t max_seq_len = default_seq_len;  ///< longest sequence that the model takes
  std::uint64_t seed = 0;  ///< seed of the random windows; unused by a safetensors, which is read from its first row
  std::int64_t vocab_size = 0;  ///< the model's
  /// Accept bytes for a vocabulary of more than 256 without a tokenizer (a newly initialised model).
  bool accept_larger_vocab = false;
  std::optional<Split> split;  ///< absent: held_out of builtin, the whole of any other file; unused by a safetensors
  DataOptionNames names = {};
};

/// A text or a token file, opened once to draw many batches from. Copies share the mapped file.
class TokenDataset {
 public:
  /// \param options  source, vocab_size, accept_larger_vocab and split are used
  /// \throws std::runtime_error  one line, beginning with the file; for a token file with an id that is not in the vocabulary,
  ///                             which is read once for that
  static TokenDataset open(const DataOptions& options);

  /// Returns the first nine tenths and the last tenth of the source, which is read once.
  /// \param options  as for open(), but without the split
  static std::pair<TokenDataset, TokenDataset> open_splits(const DataOptions& options);

  /// Returns the number of tokens in the split.
  std::int64_t size() const;

  /// Draws `sequences` different windows of seq_len + 1 tokens: windows that do not overlap if there is room for them,
  /// otherwise windows with different starts.
  /// \throws std::runtime_error  if there are too few tokens, or one is not in the vocabulary
  TokenBatch draw(std::int64_t sequences, std::int64_t seq_len, std::uint64_t seed) const;

  /// Returns the windows that start at given positions of the split, in tokens from its start. With a beginning token
  /// they have that token and seq_len others.
  /// \throws std::runtime_error  if a window reaches beyond the end, or a token is not in the vocabulary
  TokenBatch windows(const std::vector<std::int64_t>& starts, std::int64_t seq_len) const;

 private:
  struct Tokens;
  explicit TokenDataset(std::shared_ptr<const Tokens> tokens);

  static TokenDataset open_whole(const DataOptions& options);
  TokenDataset part(std::optional<Split> split) const;

  std::shared_ptr<const Tokens> tokens_;
};

/// Loads the batch of a probe. Text and token files: `sequences` random windows of seq_len + 1 tokens. Safetensors: the
/// first `sequences` rows as they are, cut to their first `seq_len` positions.
/// \throws std::runtime_error  one line, beginning with the file; a token outside the vocabulary is named with its
///                             position
TokenBatch load_token_batch(const DataOptions& options);

/// Returns the tokenizer of a checkpoint: the one in its folder or in the folder of its file; a GGUF file is its own tokenizer.
/// Empty: there is none.
std::string find_model_tokenizer(const std::string& model);

/// Returns the path of the built-in text, kjv.txt: in the folder that the environment variable HESSIAN_DATA_DIR names,
/// else next to the installed programs (../share/hessian), else in the data folder of the source tree.
/// \param source_option  name of the option that another text can be given with, for the message
/// \throws std::runtime_error  with instructions for downloading the text, if none of them has it
std::string find_builtin_text(const std::string& source_option = DataOptionNames().source);

}  // namespace hessian::models
