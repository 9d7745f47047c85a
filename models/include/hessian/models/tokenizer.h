#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace hessian::models {

/// Translates text to token ids and back, as the library that defines the tokenizer's file does.
/// ```cpp
/// const Tokenizer tokenizer = Tokenizer::load("Llama-3.2-1B");
/// const std::vector<std::int32_t> ids = tokenizer.encode("In the beginning");
/// ```
/// Copies share everything. All functions may be called from several threads at once.
class Tokenizer {
 public:
  /// Reads a tokenizer from its file, or from the folder that holds it, in one of these forms:
  /// - tokenizer.json of Hugging Face, with a BPE or Unigram model;
  /// - tokenizer.model of sentencepiece, or of Llama 3 (a token in base64 and its rank per line);
  /// - vocab.json and merges.txt of GPT-2;
  /// - meta.pkl of nanoGPT's character-level data sets;
  /// - a model in GGUF, which has a tokenizer in it (byte-level BPE, or sentencepiece BPE with scores).
  ///
  /// In a folder the first of these is used, but no GGUF file. Settings of tokenizer.json that shorten or lengthen texts (truncation and
  /// padding) are ignored. Files next to it (tokenizer_config.json, special_tokens_map.json) name the tokens that begin
  /// and end a text.
  /// \throws std::runtime_error  one line, beginning with the file; a component that is not supported is named
  static Tokenizer load(const std::string& path);

  /// Returns the tokenizer without a file: the bytes of a text are its tokens, and a line end separates documents.
  static Tokenizer bytes();

  /// Returns the file of a folder that load() reads, or nothing if there is none.
  static std::optional<std::string> find(const std::string& folder);

  /// Encodes a text. The text of a special token becomes that token.
  /// \throws std::runtime_error  "not UTF-8 text (byte 17 is 0xff)" for invalid UTF-8; other messages if the model
  ///                             cannot represent the text
  /// Cost: O(n log n) for a text of n bytes in the worst case; linear for ordinary text.
  std::vector<std::int32_t> encode(std::string_view text) const;

  /// Encodes a text with the tokens that the tokenizer itself puts before and after it.
  std::vector<std::int32_t> encode_with_special(std::string_view text) const;

  /// Encodes several texts in parallel.
  /// \param threads  number of threads; 0: as many as the machine has cores
  std::vector<std::vector<std::int32_t>> encode_all(std::span<const std::string_view> texts,
                                                    std::size_t threads = 0) const;

  /// Returns the text of ids. Special tokens appear as text. Bytes that are no complete character are kept as they are
  /// if the tokens are bytes.
  /// \throws std::runtime_error  "id 70000 is not in the vocabulary"
  std::string decode(std::span<const std::int32_t> ids) const;

  /// Returns the largest id plus 1.
  std::int64_t vocab_size() const;

  /// Returns the token that begins a text, or nothing.
  std::optional<std::int32_t> begin_token() const;

  /// Returns the token that ends a text and so separates documents, or nothing.
  std::optional<std::int32_t> end_token() const;

  /// Returns the path of the file that was read.
  const std::string& path() const;

  /// Describes the tokenizer for a message: "tokenizer.json (BPE)".
  const std::string& description() const;

  /// Returns the paths of all files that determine the tokenizer.
  const std::vector<std::string>& files() const;

  /// Returns the same paths by the names under which load() finds them in a folder: a tokenizer.json that is called
  /// words.json has the name tokenizer.json.
  const std::map<std::string, std::string>& files_by_name() const;

  /// Returns a number that changes if the contents of these files do.
  std::uint64_t digest() const;

 private:
  struct Content;
  explicit Tokenizer(std::shared_ptr<const Content> content);

  std::shared_ptr<const Content> content_;
};

}  // namespace hessian::models
