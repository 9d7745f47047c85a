#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "io/mapped_file.h"

namespace hessian::models {

/// Returns the text files that a source names: a file; a folder, whose text files are taken in the order of their names;
/// or several of these, separated by commas. Text files are *.txt, *.jsonl, and *.txt.gz and *.jsonl.gz in folders; a
/// file that is named itself may have any name.
/// \throws std::runtime_error  for a folder without text files, and for a list that names anything but text
std::vector<std::string> find_text_files(const std::string& source);

/// Returns whether a source of data is text, which a tokenizer encodes, rather than tokens: a .bin, a .safetensors, or a file
/// that begins with the header of a token file.
bool is_text_source(const std::string& source);

/// What to do about a file without text.
enum class EmptyText { refuse, accept };

/// The text of a file: one document, or one per line of a .jsonl. Files that end in .gz are decompressed. A byte order mark at
/// the start of the file is skipped.
class TextFile {
 public:
  /// \throws std::runtime_error  one line, beginning with the path: for a file that cannot be read, holds no text, is
  ///                             no UTF-8 ("byte 17 is 0xff"), or is a .jsonl with a line that has no "text"
  static TextFile open(const std::string& path, EmptyText empty = EmptyText::refuse);

  /// Returns the documents. The views live as long as this object and its copies.
  const std::vector<std::string_view>& documents() const { return documents_; }

  const std::string& path() const { return path_; }

 private:
  TextFile() = default;

  std::string path_;
  std::shared_ptr<const MappedFile> file_;
  std::shared_ptr<const std::vector<std::string>> texts_;  // what is not in the file as it stands
  std::vector<std::string_view> documents_;
};

/// Returns the text without the byte order mark that it may begin with.
std::string_view without_byte_order_mark(std::string_view text);

/// Returns a number that changes if a file does. Reads the file, but does not decompress or parse it.
/// \throws std::runtime_error  one line, beginning with the path, if it cannot be read
std::uint64_t file_digest(const std::string& path);

}  // namespace hessian::models
