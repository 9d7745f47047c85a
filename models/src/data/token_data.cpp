#include "hessian/models/token_data.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <filesystem>
#include <memory>
#include <numeric>
#include <optional>
#include <span>
#include <string_view>
#include <utility>

#include "data/token_cache.h"
#include "formats/safetensors.h"
#include "hessian/models/tokenizer.h"
#include "io/byte_reader.h"
#include "io/mapped_file.h"
#include "io/messages.h"
#include "tokens/text_files.h"
#include "tokens/token_stream.h"

namespace hessian::models {
namespace {

constexpr std::int64_t byte_vocab = 256;
constexpr const char* builtin = "builtin";

bool is_builtin(const DataOptions& options) {
  return options.source == builtin;
}

void check_byte_vocab(const DataOptions& options) {
  const bool may_be_larger = options.accept_larger_vocab || options.tokenizer == bytes_tokenizer;
  const bool fits = options.vocab_size == byte_vocab || (may_be_larger && options.vocab_size > byte_vocab);
  if (!fits) {
    fail(options.source,
         "is text, and without a tokenizer its bytes are the tokens, a vocabulary of 256; but the model has {}. Give "
         "{}, or its own tokens with {}: a .bin, or a .safetensors with 'tokens' and 'targets'",
         options.vocab_size, options.names.tokenizer, options.names.source);
  }
}

/// Returns the tokenizer that is given; nothing for bytes.
std::optional<Tokenizer> load_tokenizer(const DataOptions& options) {
  if (options.tokenizer.empty() || options.tokenizer == bytes_tokenizer) {
    return std::nullopt;
  }
  Tokenizer tokenizer = Tokenizer::load(options.tokenizer);
  if (tokenizer.vocab_size() > options.vocab_size) {
    fail(tokenizer.path(),
         "has ids up to {}, but the model has a vocabulary of {} (ids 0 to {}); give its own tokenizer with {}, or "
         "bytes "
         "for a token per byte",
         tokenizer.vocab_size() - 1, options.vocab_size, options.vocab_size - 1, options.names.tokenizer);
  }
  return tokenizer;
}

/// Returns the token that --bos asks for.
std::int64_t begin_token_of(const std::optional<Tokenizer>& tokenizer) {
  if (!tokenizer) {
    throw std::runtime_error("--bos needs a tokenizer, which knows the beginning token; give --tokenizer");
  }
  if (!tokenizer->begin_token()) {
    fail(tokenizer->path(), "has no token that begins a text, which --bos asks for");
  }
  return *tokenizer->begin_token();
}

/// Returns the text of several documents as bytes, with a line end between them.
at::Tensor join_bytes(const std::vector<std::string>& paths) {
  std::string text;
  for (const std::string& path : paths) {
    const TextFile file = TextFile::open(path);
    for (const std::string_view document : file.documents()) {
      text += text.empty() ? "" : "\n";
      text += document;
    }
  }
  at::Tensor bytes = at::empty({static_cast<std::int64_t>(text.size())}, at::kByte);
  std::ranges::copy(text, bytes.data_ptr<std::uint8_t>());
  return bytes;
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

/// Refuses a type for data that is no token file.
void check_no_token_type(const DataOptions& options, const char* what) {
  if (!options.token_type.empty()) {
    fail(options.source, "{}; {} is for token files without a header", what, options.names.token_type);
  }
}

TokenBatch load_rows(const DataOptions& options) {
  const auto file = load_safetensors(options.source);
  const at::Tensor& tokens = find_ids(file.tensors, "tokens", options.source);
  const at::Tensor& targets = find_ids(file.tensors, "targets", options.source);
  if (tokens.sizes() != targets.sizes()) {
    fail(options.source, "tensor 'targets' is {}, expected {} as 'tokens' is", shape_text(targets.sizes()),
         shape_text(tokens.sizes()));
  }
  check_no_token_type(options, "holds whole sequences");
  load_tokenizer(options);  // for its checks alone
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
  std::shared_ptr<const void> memory;  // what the stream is a view of
  std::string source;
  TokenStream stream;   // of the split
  std::int64_t begin;   // of the split in the source, in tokens
  std::string subject;  // of messages about the split: "its last tenth "; empty for the whole
  std::int64_t vocab_size;
  std::optional<std::int64_t> begin_token;  // before each window
};

TokenDataset::TokenDataset(std::shared_ptr<const Tokens> tokens) : tokens_(std::move(tokens)) {}

std::int64_t TokenDataset::size() const {
  return tokens_->stream.size();
}

namespace {

/// A stream and what keeps its memory alive.
struct OpenedStream {
  std::shared_ptr<const void> memory;
  TokenStream stream;
};

OpenedStream open_numbers(const at::Tensor& numbers, TokenType type) {
  const auto owner = std::make_shared<const at::Tensor>(numbers);
  const std::span<const std::byte> bytes(static_cast<const std::byte*>(owner->const_data_ptr()), owner->nbytes());
  return {owner, TokenStream::numbers(bytes, type)};
}

OpenedStream open_text(const DataOptions& options, const std::optional<Tokenizer>& tokenizer) {
  const std::string source = is_builtin(options) ? find_builtin_text(options.names.source) : options.source;
  if (tokenizer) {
    return open_numbers(encode_text_files(source, *tokenizer), TokenType::int32);
  }
  check_byte_vocab(options);
  const auto paths = find_text_files(source);
  if (paths.size() == 1 && !paths[0].ends_with(".gz") && !paths[0].ends_with(".jsonl")) {
    const auto file = MappedFile::open(paths[0]);
    const std::string_view text = without_byte_order_mark(as_text(file->bytes()));
    return {file, TokenStream::text(std::as_bytes(std::span(text)), file->path())};
  }
  return open_numbers(join_bytes(paths), TokenType::uint8);
}

/// Checks every id of a token file, without keeping its pages in memory.
void check_all_ids(const TokenStream& stream, const MappedFile& file, const DataOptions& options) {
  constexpr std::int64_t chunk = std::int64_t{1} << 22U;
  const std::size_t width = size_bytes(stream.type());
  const std::size_t header = file.bytes().size() - static_cast<std::size_t>(stream.size()) * width;
  for (std::int64_t begin = 0; begin < stream.size(); begin += chunk) {
    const TokenStream ids = stream.part(begin, std::min(chunk, stream.size() - begin));
    const std::int64_t outside = ids.first_outside(options.vocab_size);
    if (outside != ids.size()) {
      fail(options.source, "token {} is {}, but the model has a vocabulary of {} (ids 0 to {})", begin + outside,
           ids[outside], options.vocab_size, options.vocab_size - 1);
    }
    file.release(header + static_cast<std::size_t>(begin) * width, static_cast<std::size_t>(ids.size()) * width);
  }
}

/// Checks the vocabulary size that the header of a token file names.
void check_header_vocab(const TokenStream& stream, const DataOptions& options,
                        const std::optional<Tokenizer>& tokenizer) {
  const std::int64_t vocab_size = stream.header_vocab_size();
  if (vocab_size > options.vocab_size) {
    fail(options.source, "has ids of a vocabulary of {} according to its header, but the model has a vocabulary of {}",
         vocab_size, options.vocab_size);
  }
  if (tokenizer && vocab_size != 0 && vocab_size != tokenizer->vocab_size()) {
    fail(options.source, "has ids of a vocabulary of {} according to its header, but {} has {} tokens", vocab_size,
         tokenizer->path(), tokenizer->vocab_size());
  }
}

OpenedStream open_token_file(const DataOptions& options, const std::optional<Tokenizer>& tokenizer) {
  TokenFileOptions file_options;
  file_options.vocab_size = options.vocab_size;
  file_options.type_option = options.names.token_type;
  if (!options.token_type.empty()) {
    file_options.type = parse_token_type(options.token_type);
  }
  const auto file = MappedFile::open(options.source);
  const TokenStream stream = TokenStream::bin(file->bytes(), file->path(), file_options);
  check_header_vocab(stream, options, tokenizer);
  check_all_ids(stream, *file, options);
  return {file, stream};
}

}  // namespace

TokenDataset TokenDataset::open_whole(const DataOptions& options) {
  if (options.source.ends_with(".safetensors")) {
    fail(options.source, "holds whole sequences to probe; to draw from, give a text or a token .bin");
  }
  const bool text = is_text_source(options.source);
  if (text) {
    check_no_token_type(options, "is text");
  }
  const std::optional<Tokenizer> tokenizer = load_tokenizer(options);
  const auto begin = options.begin_token ? std::optional(begin_token_of(tokenizer)) : std::optional<std::int64_t>();
  const auto [memory, stream] = text ? open_text(options, tokenizer) : open_token_file(options, tokenizer);
  return TokenDataset(
      std::make_shared<const Tokens>(Tokens{memory, options.source, stream, 0, "", options.vocab_size, begin}));
}

TokenDataset TokenDataset::part(std::optional<Split> split) const {
  const TokenStream& all = tokens_->stream;
  const std::int64_t border = split ? held_out_begin(all) : 0;
  const std::int64_t begin = split == Split::held_out ? border : 0;
  const std::int64_t end = split == Split::train ? border : all.size();
  Tokens tokens = *tokens_;
  tokens.stream = all.part(begin, end - begin);
  tokens.begin = begin;
  tokens.subject = split == Split::held_out ? "its last tenth, which training leaves out, "
                   : split == Split::train  ? "its first nine tenths, on which a model is trained, "
                                            : "";
  return TokenDataset(std::make_shared<const Tokens>(std::move(tokens)));
}

TokenDataset TokenDataset::open(const DataOptions& options) {
  const bool holds_out = !options.split && is_builtin(options);
  return open_whole(options).part(holds_out ? Split::held_out : options.split);
}

std::pair<TokenDataset, TokenDataset> TokenDataset::open_splits(const DataOptions& options) {
  const TokenDataset whole = open_whole(options);
  return {whole.part(Split::train), whole.part(Split::held_out)};
}

TokenBatch TokenDataset::draw(std::int64_t sequences, std::int64_t seq_len, std::uint64_t seed) const {
  const std::int64_t window = seq_len + (tokens_->begin_token ? 0 : 1);
  return windows(draw_window_starts(size(), sequences, window, seed, tokens_->source, tokens_->subject), seq_len);
}

TokenBatch TokenDataset::windows(const std::vector<std::int64_t>& starts, std::int64_t seq_len) const {
  const auto& [memory, source, stream, begin, subject, vocab_size, begin_token] = *tokens_;
  const auto count = static_cast<std::int64_t>(starts.size());
  const std::int64_t window = seq_len + (begin_token ? 0 : 1);
  const at::Tensor ids = at::empty({count, seq_len + 1}, at::kLong);
  auto* out = ids.data_ptr<std::int64_t>();
  TokenBatch batch;
  for (const std::int64_t start : starts) {
    if (start < 0 || start > size() - window) {
      fail(source, "a window of {} tokens at {} reaches beyond the {} that there are", window, start, size());
    }
    if (begin_token) {
      *out++ = *begin_token;
    }
    for (std::int64_t i = 0; i < window; ++i) {
      const std::int64_t id = stream[start + i];
      if (id < 0 || id >= vocab_size) {
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
    if (options.begin_token) {
      fail(options.source, "holds whole sequences, before which --bos cannot put a token");
    }
    return load_rows(options);
  }
  const std::int64_t sequences = options.sequences == 0 ? default_sequences : options.sequences;
  const std::int64_t seq_len = options.seq_len == 0 ? std::min(default_seq_len, options.max_seq_len) : options.seq_len;
  return TokenDataset::open(options).draw(sequences, seq_len, options.seed);
}

std::string find_model_tokenizer(const std::string& model) {
  std::error_code error;
  const std::filesystem::path path(model);
  if (path.extension() == ".gguf") {  // holds its tokenizer itself
    return model;
  }
  const auto folder = std::filesystem::is_directory(path, error) ? path : path.parent_path();
  return Tokenizer::find(folder.empty() ? "." : folder.string()).value_or("");
}

}  // namespace hessian::models
