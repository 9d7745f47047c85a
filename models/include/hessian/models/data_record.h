#pragma once

#include <map>
#include <optional>
#include <string>

#include "hessian/models/tokenizer.h"

namespace hessian::models {

/// What identifies the data of a training run. Checkpoints and run files keep it, so that a run is resumed with the same
/// data, and a checkpoint is probed with its own tokenizer. Digests are hexadecimal numbers.
struct DataRecord {
  std::string source = {};     ///< digest of the texts or the tokens, see source_digest()
  std::string tokenizer = {};  ///< digest of the tokenizer; "bytes"; or empty: tokens whose tokenizer is unknown
  std::map<std::string, std::string> files =
      {};  ///< the tokenizer's files that the run put into its folder, with digests

  bool operator==(const DataRecord&) const = default;
};

/// Writes a record as JSON.
std::string to_json(const DataRecord& record);

/// Reads the JSON of a record.
/// \param source  where it was found, for messages
/// \throws std::runtime_error  one line, beginning with `source`
DataRecord parse_data_record(const std::string& json, const std::string& source);

/// Returns the record in a training checkpoint; nothing if the file has none, or is no checkpoint of this project.
/// \throws std::runtime_error  one line, beginning with the path, for a damaged file
std::optional<DataRecord> read_data_record(const std::string& checkpoint);

/// Returns a digest of the contents of a source of data, as DataOptions::source. Of texts it covers every byte; of a token
/// file or a safetensors, the size and 8 MiB spread over the file.
/// \throws std::runtime_error  one line, beginning with the file
std::string source_digest(const std::string& source);

/// Returns the digest of a tokenizer's files.
std::string digest_of(const Tokenizer& tokenizer);

/// Returns a digest of the contents of a file, which may be empty.
std::string digest_of_file(const std::string& path);

}  // namespace hessian::models
