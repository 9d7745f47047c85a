#pragma once

#include <string>
#include <vector>

namespace hessian::experiments {

/// Returns the known key that an unknown one most probably means: one whose last part other tools call by the unknown one's
/// last part (`learning_rate`: optimizer.lr), or else one with the same last part (`lr`), or else the most similar one.
std::string suggested_key(const std::string& key, const std::vector<std::string>& known);

/// Returns the word of `known` that differs from `word` by the fewest insertions, deletions and replacements of
/// characters.
/// Source: Levenshtein (1966).
std::string nearest_word(const std::string& word, const std::vector<std::string>& known);

}  // namespace hessian::experiments
