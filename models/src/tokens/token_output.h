#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <vector>

#include "hessian/models/tokenizer.h"
#include "tokens/text_files.h"
#include "tokens/token_file.h"

namespace hessian::models {

/// Encodes the documents of a file in parallel, with the tokenizer's end-of-text token between them.
/// \param threads  number of threads; 0: as many as the machine has cores
/// \throws std::runtime_error  one line, beginning with the file
std::vector<std::int32_t> encode_file(const Tokenizer& tokenizer, const TextFile& file, std::size_t threads = 0);

/// Appends the ids of a file to those of the files before it, with the end-of-text token between them.
void append_ids(const Tokenizer& tokenizer, std::span<const std::int32_t> file, std::vector<std::int32_t>& ids);

/// Reads the ids of a token file, or the lists of ids of a JSON file: {"ids": [...]}, or one such object per line.
/// \param type        of a token file without a header
/// \param vocab_size  of the tokenizer
/// \throws std::runtime_error  one line, beginning with the file; for an id that is not in the vocabulary, and for a header
///                             with another vocabulary size
std::vector<std::vector<std::int32_t>> read_id_lists(const std::string& path, std::optional<TokenType> type,
                                                     std::int64_t vocab_size);

struct TokenOutput {
  bool bare = false;       ///< without a header, as nanoGPT reads it: uint16 only
  bool overwrite = false;  ///< replace an existing file
};

/// Writes ids to a token file: as uint16 if the vocabulary has at most 65536 tokens, otherwise as uint32.
/// \throws std::runtime_error  if it cannot be written, or a bare file cannot hold the vocabulary
void write_token_file(const std::filesystem::path& path, std::span<const std::int32_t> ids, std::int64_t vocab_size,
                      const TokenOutput& options);

}  // namespace hessian::models
