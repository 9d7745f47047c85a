#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace hessian::models {

/// The smallest vocabulary of a byte-level tokenizer: all bytes, and the token that ends a text.
inline constexpr std::int64_t min_trained_vocab = 257;

/// Trains a byte-level byte-pair encoding: GPT-2's regular expression divides the texts into words, and the most frequent
/// pair of adjacent tokens becomes a token until there are `vocab_size` of them. Of pairs of equal frequency the one of
/// the lowest ids is chosen, so that the result depends on the texts only.
/// \param vocab_size  number of tokens, with all bytes and `<|endoftext|>`, which is the last one. There are fewer if
///                    every word has become one token
/// \return  the contents of a tokenizer.json
/// \throws std::runtime_error  if vocab_size is less than min_trained_vocab or more than 2^24
/// Cost: linear in the length of the texts, and O(log n) per merge at each place of a word that has it.
/// Source: Sennrich, Haddow & Birch (2016), Neural machine translation of rare words with subword units.
std::string train_bpe(std::span<const std::string_view> texts, std::int64_t vocab_size);

}  // namespace hessian::models
