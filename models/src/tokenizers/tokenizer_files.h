#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "tokenizers/encoder.h"

namespace hessian::models {

/// A tokenizer as its files describe it.
struct TokenizerFiles {
  EncoderPointer encoder;
  std::string path;                                  ///< the file that was chosen
  std::vector<std::string> files;                    ///< all files that were read
  std::map<std::string, std::string> files_by_name;  ///< see Tokenizer::files_by_name()
  std::uint64_t digest = 0;                          ///< of their contents
  std::optional<std::int32_t> begin;
  std::optional<std::int32_t> end;
};

/// Returns the names of all files from which a folder's tokenizer may be read.
const std::vector<std::string>& tokenizer_file_names();

/// Returns the file of a folder that holds its tokenizer, or nothing; see Tokenizer::find.
std::optional<std::string> find_tokenizer_file(const std::string& folder);

/// Reads a tokenizer from a file or a folder; see Tokenizer::load.
TokenizerFiles load_tokenizer_files(const std::string& path);

}  // namespace hessian::models
