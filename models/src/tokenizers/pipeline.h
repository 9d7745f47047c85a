#pragma once

#include <memory>
#include <string>
#include <vector>

#include "tokenizers/added_tokens.h"
#include "tokenizers/decoders.h"
#include "tokenizers/encoder.h"
#include "tokenizers/normalizers.h"
#include "tokenizers/pre_tokenizers.h"

namespace hessian::models {

/// The steps of a tokenizer of Hugging Face's kind: added tokens are found, the text between them is normalized,
/// divided into words, and the words are encoded.
struct PipelineParts {
  std::string source;  ///< the file, for messages
  std::string kind;
  std::unique_ptr<const WordModel> model;
  Normalizer normalizer = {};  ///< may be empty
  PreTokenization pre_tokenization = {};
  Decoder decoder = {};  ///< may be empty: tokens are joined with spaces
  std::vector<AddedToken> added = {};
  Frame frame = {};
};

/// Source: huggingface/tokenizers, tokenizers/src/tokenizer/mod.rs.
class Pipeline : public Encoder {
 public:
  explicit Pipeline(PipelineParts parts);

  void encode(std::string_view text, TokenIds& ids, WordCache& cache) const override;
  std::string decode(std::span<const std::int32_t> ids) const override;
  std::int64_t vocab_size() const override { return end_id_; }
  std::optional<std::int32_t> find(std::string_view token) const override;
  Frame frame() const override { return parts_.frame; }
  std::string kind() const override { return parts_.kind; }

 private:
  /// Encodes text that has no token of the original text in it.
  void encode_section(std::string_view text, bool begins_text, TokenIds& ids, WordCache& cache) const;

  PipelineParts parts_;
  AddedTokens added_;
  std::int64_t end_id_ = 0;
};

}  // namespace hessian::models
