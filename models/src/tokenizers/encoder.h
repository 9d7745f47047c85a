#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "tokenizers/post_processor.h"
#include "tokenizers/word_model.h"

namespace hessian::models {

/// What a tokenizer's file defines; one class per kind of file. Objects do not change once they are made.
class Encoder {
 public:
  virtual ~Encoder() = default;

  /// Appends the ids of a text of well-formed UTF-8.
  virtual void encode(std::string_view text, TokenIds& ids, WordCache& cache) const = 0;

  /// \throws std::runtime_error  for an id that no token has
  virtual std::string decode(std::span<const std::int32_t> ids) const = 0;

  /// Returns the largest id plus 1.
  virtual std::int64_t vocab_size() const = 0;

  /// Returns the id of a token, given its text.
  virtual std::optional<std::int32_t> find(std::string_view token) const = 0;

  /// Returns the tokens that the tokenizer itself puts around a text.
  virtual Frame frame() const { return {}; }

  /// Returns the token that ends a text, if the file itself says so.
  virtual std::optional<std::int32_t> end_token() const { return std::nullopt; }

  /// Returns the kind of the model: "BPE".
  virtual std::string kind() const = 0;
};

using EncoderPointer = std::unique_ptr<const Encoder>;

}  // namespace hessian::models
