#include "tokens/text_files.h"

#include <zlib.h>

#include <algorithm>
#include <filesystem>
#include <memory>
#include <utility>

#include "io/byte_reader.h"
#include "io/digest.h"
#include "io/json_reader.h"
#include "io/messages.h"
#include "io/utf8.h"
#include "tokens/token_file.h"

namespace hessian::models {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view byte_order_mark = "\xef\xbb\xbf";

/// Returns whether a source is several names with commas between them.
bool is_list(const std::string& source) {
  std::error_code error;
  return source.find(',') != std::string::npos && !fs::exists(source, error);
}

bool has_token_name(const std::string& source) {
  return source.ends_with(".bin") || source.ends_with(".safetensors");
}

bool is_empty_file(const std::string& path) {
  std::error_code error;
  return fs::is_regular_file(path, error) && fs::file_size(path, error) == 0;
}

/// Checks that an element of a list is text.
void check_element(const std::string& element, const std::string& source) {
  std::error_code error;
  if (!is_text_source(element) || (element == "builtin" && !fs::exists(element, error))) {
    fail(source, "a list may hold texts only, not {}", element);
  }
}

bool is_text_name(std::string name) {
  if (name.ends_with(".gz")) {
    name.resize(name.size() - 3);
  }
  return !name.starts_with('.') && (name.ends_with(".txt") || name.ends_with(".jsonl"));
}

void append_text_files(const std::string& source, std::vector<std::string>& paths) {
  std::error_code error;
  if (!fs::is_directory(source, error)) {
    paths.push_back(source);
    return;
  }
  std::vector<std::string> found;
  for (const auto& entry : fs::directory_iterator(source)) {
    if (entry.is_regular_file(error) && is_text_name(entry.path().filename().string())) {
      found.push_back(entry.path().string());
    }
  }
  if (found.empty()) {
    fail(source, "the folder has no text (*.txt or *.jsonl, also with .gz)");
  }
  std::ranges::sort(found);
  paths.insert(paths.end(), found.begin(), found.end());
}

/// Decompresses the members of a gzip file.
std::string decompress(std::span<const std::byte> bytes, const std::string& path) {
  // Refuses files that are made to fill the memory.
  constexpr std::size_t max_bytes = std::size_t{64} << 30U;
  const auto refuse = [&](const char* reason) { fail(path, "cannot be decompressed: {}", reason); };
  z_stream stream{};
  constexpr int gzip_window = 15 + 16;
  if (inflateInit2(&stream, gzip_window) != Z_OK) {
    refuse("zlib does not start");
  }
  const std::unique_ptr<z_stream, int (*)(z_stream*)> cleanup(&stream, inflateEnd);
  std::string text;
  std::vector<char> buffer(std::size_t{1} << 18U);
  std::size_t position = 0;
  while (position < bytes.size()) {
    const auto chunk = std::min(bytes.size() - position, std::size_t{1} << 30U);
    // zlib does not change its input, whose type is not const.
    stream.next_in = reinterpret_cast<Bytef*>(const_cast<std::byte*>(bytes.data() + position));
    stream.avail_in = static_cast<uInt>(chunk);
    int status = Z_OK;
    do {
      stream.next_out = reinterpret_cast<Bytef*>(buffer.data());
      stream.avail_out = static_cast<uInt>(buffer.size());
      status = inflate(&stream, Z_NO_FLUSH);
      if (status != Z_OK && status != Z_STREAM_END && status != Z_BUF_ERROR) {
        refuse(stream.msg != nullptr ? stream.msg : "it is damaged");
      }
      text.append(buffer.data(), buffer.size() - stream.avail_out);
      if (text.size() > max_bytes) {
        refuse("it holds more than 64 GiB");
      }
    } while (status == Z_OK && (stream.avail_in > 0 || stream.avail_out == 0));
    position += chunk - stream.avail_in;
    if (status == Z_STREAM_END) {
      inflateReset(&stream);
    } else if (position == bytes.size()) {
      refuse("it ends too early");
    } else if (status == Z_BUF_ERROR && stream.avail_in == chunk) {
      refuse("it is damaged");
    }
  }
  return text;
}

/// Returns the "text" of each line; empty lines are skipped.
std::vector<std::string> parse_lines(std::string_view contents, const std::string& path) {
  std::vector<std::string> texts;
  std::size_t line_number = 0;
  while (!contents.empty()) {
    ++line_number;
    const auto end = std::min(contents.find('\n'), contents.size());
    const std::string_view line = contents.substr(0, end);
    contents.remove_prefix(std::min(end + 1, contents.size()));
    if (line.find_first_not_of(" \t\r") == std::string_view::npos) {
      continue;
    }
    const auto json = parse_json_object(line, path, "line " + std::to_string(line_number));
    const auto text = json.find("text");
    if (text == json.end() || !text->is_string()) {
      fail(path, "line {} has no 'text', the field of a document in a .jsonl", line_number);
    }
    if (!text->get_ref<const std::string&>().empty()) {
      texts.push_back(text->get<std::string>());
    }
  }
  return texts;
}

}  // namespace

std::vector<std::string> find_text_files(const std::string& source) {
  std::vector<std::string> paths;
  if (!is_list(source)) {
    append_text_files(source, paths);
    return paths;
  }
  for (std::size_t begin = 0; begin <= source.size();) {
    const auto end = std::min(source.find(',', begin), source.size());
    if (end > begin) {
      const std::string element = source.substr(begin, end - begin);
      check_element(element, source);
      append_text_files(element, paths);
    }
    begin = end + 1;
  }
  return paths;
}

bool is_text_source(const std::string& source) {
  if (is_list(source)) {
    return true;
  }
  if (has_token_name(source)) {
    return false;
  }
  std::error_code error;
  const bool is_file = fs::is_regular_file(source, error) && fs::file_size(source, error) > 0;
  return !is_file || !has_token_file_header(MappedFile::open(source)->bytes());
}

TextFile TextFile::open(const std::string& path, EmptyText empty) {
  TextFile result;
  result.path_ = path;
  if (empty == EmptyText::accept && is_empty_file(path)) {
    return result;
  }
  result.file_ = MappedFile::open(path);
  std::string_view contents = as_text(result.file_->bytes());
  std::string name = path;
  std::string decompressed;
  std::vector<std::string> texts;
  const bool is_compressed = name.ends_with(".gz");
  if (is_compressed) {
    name.resize(name.size() - 3);
    decompressed = decompress(result.file_->bytes(), path);
    contents = decompressed;
  }
  check_utf8(std::as_bytes(std::span(contents)), path, convert_to_utf8);
  contents = without_byte_order_mark(contents);
  if (name.ends_with(".jsonl")) {
    texts = parse_lines(contents, path);
  } else if (is_compressed && !contents.empty()) {
    decompressed.erase(0, decompressed.size() - contents.size());
    texts.push_back(std::move(decompressed));
  } else if (!contents.empty()) {
    result.documents_.push_back(contents);
  }
  result.texts_ = std::make_shared<const std::vector<std::string>>(std::move(texts));
  result.documents_.insert(result.documents_.end(), result.texts_->begin(), result.texts_->end());
  if (result.documents_.empty() && empty == EmptyText::refuse) {
    fail(path, "has no text");
  }
  return result;
}

std::string_view without_byte_order_mark(std::string_view text) {
  return text.starts_with(byte_order_mark) ? text.substr(byte_order_mark.size()) : text;
}

std::uint64_t file_digest(const std::string& path) {
  return Digest().add(MappedFile::open(path)->bytes()).value();
}

}  // namespace hessian::models
