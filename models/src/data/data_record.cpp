#include "hessian/models/data_record.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <vector>

#include "formats/safetensors_header.h"
#include "hessian/models/token_data.h"
#include "io/digest.h"
#include "io/json_reader.h"
#include "io/mapped_file.h"
#include "io/messages.h"
#include "tokens/text_files.h"

namespace hessian::models {
namespace {

constexpr const char* data_key = "data";

std::string text_of(std::uint64_t digest) {
  return fmt::format("{:016x}", digest);
}

void add_size(std::size_t size, Digest& digest) {
  const auto number = static_cast<std::uint64_t>(size);
  digest.add(std::as_bytes(std::span(&number, 1)));
}

std::string digest_of_texts(const std::vector<std::string>& paths) {
  Digest digest;
  for (const std::string& path : paths) {
    const auto file = MappedFile::open(path);
    add_size(file->bytes().size(), digest);
    digest.add(file->bytes());
  }
  return text_of(digest.value());
}

/// Returns a digest of the size and of samples that are spread evenly over a file, its start and its end among them.
std::string digest_of_samples(const std::string& path) {
  constexpr std::size_t samples = 64;
  constexpr std::size_t sample_bytes = std::size_t{1} << 17U;
  const auto file = MappedFile::open(path);
  const std::size_t size = file->bytes().size();
  Digest digest;
  add_size(size, digest);
  if (size <= samples * sample_bytes) {
    digest.add(file->bytes());
    return text_of(digest.value());
  }
  for (std::size_t i = 0; i < samples; ++i) {
    digest.add(file->bytes().subspan((size - sample_bytes) / (samples - 1) * i, sample_bytes));
  }
  digest.add(file->bytes().last(sample_bytes));
  return text_of(digest.value());
}

std::string text_at(const nlohmann::json& object, const std::string& key, const std::string& source) {
  const auto found = object.find(key);
  if (found == object.end() || !found->is_string()) {
    fail(source, "the record of its data has no text '{}'", key);
  }
  return found->get<std::string>();
}

}  // namespace

std::string to_json(const DataRecord& record) {
  return nlohmann::json{{"source", record.source}, {"tokenizer", record.tokenizer}, {"files", record.files}}.dump();
}

DataRecord parse_data_record(const std::string& json, const std::string& source) {
  const nlohmann::json object = parse_json_object(json, source, "the record of its data");
  DataRecord record{.source = text_at(object, "source", source), .tokenizer = text_at(object, "tokenizer", source)};
  const auto files = object.find("files");
  if (files == object.end() || !files->is_object()) {
    fail(source, "the record of its data has no object 'files'");
  }
  for (const auto& [name, digest] : files->items()) {
    record.files[name] = text_at(*files, name, source);
  }
  return record;
}

std::optional<DataRecord> read_data_record(const std::string& checkpoint) {
  std::error_code error;
  if (!std::filesystem::is_regular_file(checkpoint, error)) {
    return std::nullopt;
  }
  const auto file = MappedFile::open(checkpoint);
  if (file->bytes().size() <= 8 || file->bytes()[8] != std::byte{'{'}) {
    return std::nullopt;  // no safetensors file
  }
  const SafetensorsHeader header = parse_safetensors_header(file->bytes(), checkpoint);
  const auto found = header.metadata.find(data_key);
  return found == header.metadata.end() ? std::nullopt : std::optional(parse_data_record(found->second, checkpoint));
}

std::string source_digest(const std::string& source) {
  if (source == "builtin") {
    return digest_of_texts({find_builtin_text()});
  }
  return is_text_source(source) ? digest_of_texts(find_text_files(source)) : digest_of_samples(source);
}

std::string digest_of(const Tokenizer& tokenizer) {
  return text_of(tokenizer.digest());
}

std::string digest_of_file(const std::string& path) {
  std::error_code error;
  return std::filesystem::file_size(path, error) == 0 ? text_of(Digest().value()) : text_of(file_digest(path));
}

}  // namespace hessian::models
