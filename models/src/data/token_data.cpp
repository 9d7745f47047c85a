#include "hessian/models/token_data.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <filesystem>
#include <numeric>
#include <string_view>
#include <utility>

#include "formats/safetensors.h"
#include "io/mapped_file.h"
#include "io/messages.h"
#include "tokens/token_stream.h"

namespace hessian::models {
namespace {

constexpr std::int64_t byte_vocab = 256;
constexpr const char* builtin = "builtin";

bool is_builtin(const DataOptions& options) {
  return options.source == builtin;
}

void check_text_vocab(const DataOptions& options) {
  const bool fits =
      options.vocab_size == byte_vocab || (options.accept_larger_vocab && options.vocab_size > byte_vocab);
  if (!fits) {
    fail(options.source,
         "is text, which is read as bytes with a vocabulary of 256, but the model has {}; give --data with its own "
         "tokens: "
         "a .bin (uint16), or a .safetensors with 'tokens' and 'targets'",
         options.vocab_size);
  }
}

/// Throws for the first id that is not in the vocabulary, with its position.
void check_ids(const at::Tensor& ids, std::int64_t vocab_size, const std::string& source, const std::string& what) {
  const at::Tensor flat = ids.flatten();
  const at::Tensor outside = flat.lt(0).logical_or(flat.ge(vocab_size)).nonzero();
  if (outside.size(0) != 0) {
    const auto position = outside[0].item<std::int64_t>();
    fail(source, "'{}' [{}, {}] is {}, but the model has a vocabulary of {} (ids 0 to {})", what,
         position / ids.size(1), position % ids.size(1), flat[position].item<std::int64_t>(), vocab_size,
         vocab_size - 1);
  }
}

const at::Tensor& find_ids(const Parameters& tensors, const char* name, const std::string& source) {
  if (!tensors.contains(name)) {
    fail(source, "has no tensor '{}'; token data is 'tokens' and 'targets', [B, T] int64", name);
  }
  const at::Tensor& ids = tensors.at(name);
  if (ids.dim() != 2 || ids.scalar_type() != at::kLong || ids.numel() == 0) {
    fail(source, "tensor '{}' is {} {}, expected [B, T] Long with B and T at least 1", name, shape_text(ids.sizes()),
         c10::toString(ids.scalar_type()));
  }
  return ids;
}

/// Returns `wanted`, or `there` if `wanted` is 0; throws if `wanted` is negative or larger than `there`.
std::int64_t choose(std::int64_t wanted, std::int64_t there, const char* what, const std::string& source) {
  if (wanted < 0 || wanted > there) {
    fail(source, "has {} {}, but {} are asked for", there, what, wanted);
  }
  return wanted == 0 ? there : wanted;
}

TokenBatch load_rows(const DataOptions& options) {
  const auto file = load_safetensors(options.source);
  const at::Tensor& tokens = find_ids(file.tensors, "tokens", options.source);
  const at::Tensor& targets = find_ids(file.tensors, "targets", options.source);
  if (tokens.sizes() != targets.sizes()) {
    fail(options.source, "tensor 'targets' is {}, expected {} as 'tokens' is", shape_text(targets.sizes()),
         shape_text(tokens.sizes()));
  }
  const std::int64_t rows = choose(options.sequences, tokens.size(0), "sequences", options.source);
  const std::int64_t length = choose(options.seq_len, tokens.size(1), "tokens in a sequence", options.source);
  TokenBatch batch;
  batch.tokens = tokens.narrow(0, 0, rows).narrow(1, 0, length).contiguous();
  batch.targets = targets.narrow(0, 0, rows).narrow(1, 0, length).contiguous();
  check_ids(batch.tokens, options.vocab_size, options.source, "tokens");
  check_ids(batch.targets, options.vocab_size, options.source, "targets");
  for (std::int64_t row = 0; row < rows; ++row) {
    batch.offsets.push_back(row * tokens.size(1));
  }
  return batch;
}

}  // namespace

struct TokenDataset::Tokens {
  std::shared_ptr<const MappedFile> file;
  std::string source;
  TokenStream stream;  // over the mapped file
  std::int64_t begin;  // of the split in the file, in tokens
  std::int64_t vocab_size;
};

TokenDataset::TokenDataset(std::shared_ptr<const Tokens> tokens) : tokens_(std::move(tokens)) {}

std::int64_t TokenDataset::size() const {
  return tokens_->stream.size();
}

TokenDataset TokenDataset::open(const DataOptions& options) {
  const bool text = !options.source.ends_with(".bin");
  if (options.source.ends_with(".safetensors")) {
    fail(options.source, "holds whole sequences to probe; to draw from, give a text or a token .bin");
  }
  if (text) {
    check_text_vocab(options);
  }
  const auto file = MappedFile::open(is_builtin(options) ? find_builtin_text() : options.source);
  const TokenStream all =
      text ? TokenStream::text(file->bytes(), file->path()) : TokenStream::bin(file->bytes(), file->path());
  auto split = options.split;
  if (!split && is_builtin(options)) {
    split = Split::held_out;
  }
  const std::int64_t border = split ? held_out_begin(all) : 0;
  const std::int64_t begin = split == Split::held_out ? border : 0;
  const std::int64_t end = split == Split::train ? border : all.size();
  return TokenDataset(std::make_shared<const Tokens>(
      Tokens{file, options.source, all.part(begin, end - begin), begin, options.vocab_size}));
}

TokenBatch TokenDataset::draw(std::int64_t sequences, std::int64_t seq_len, std::uint64_t seed) const {
  return windows(draw_window_starts(size(), sequences, seq_len + 1, seed, tokens_->source), seq_len);
}

TokenBatch TokenDataset::windows(const std::vector<std::int64_t>& starts, std::int64_t seq_len) const {
  const auto& [file, source, stream, begin, vocab_size] = *tokens_;
  const auto count = static_cast<std::int64_t>(starts.size());
  const at::Tensor ids = at::empty({count, seq_len + 1}, at::kLong);
  auto* out = ids.data_ptr<std::int64_t>();
  TokenBatch batch;
  for (const std::int64_t start : starts) {
    if (start < 0 || start > size() - seq_len - 1) {
      fail(source, "a window of {} tokens at {} reaches beyond the {} that there are", seq_len + 1, start, size());
    }
    for (std::int64_t i = 0; i <= seq_len; ++i) {
      const std::int64_t id = stream[start + i];
      if (id >= vocab_size) {
        fail(source, "token {} is {}, but the model has a vocabulary of {} (ids 0 to {})", begin + start + i, id,
             vocab_size, vocab_size - 1);
      }
      *out++ = id;
    }
    batch.offsets.push_back(begin + start);
  }
  batch.tokens = ids.narrow(1, 0, seq_len).contiguous();
  batch.targets = ids.narrow(1, 1, seq_len).contiguous();
  return batch;
}

TokenBatch load_token_batch(const DataOptions& options) {
  if (options.source.ends_with(".safetensors")) {
    return load_rows(options);
  }
  const std::int64_t sequences = options.sequences == 0 ? default_sequences : options.sequences;
  const std::int64_t seq_len = options.seq_len == 0 ? std::min(default_seq_len, options.max_seq_len) : options.seq_len;
  return TokenDataset::open(options).draw(sequences, seq_len, options.seed);
}

}  // namespace hessian::models
