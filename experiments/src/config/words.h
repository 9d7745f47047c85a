#pragma once

#include <cstddef>
#include <string>
#include <vector>

namespace hessian::experiments {

/// Returns the index of a word in the list of accepted ones.
/// \throws std::invalid_argument  "'spectre' is none of lanczos, power, spectra"
std::size_t index_of_word(const std::string& word, const std::vector<std::string>& accepted);

}  // namespace hessian::experiments
