#include "config/words.h"

#include <stdexcept>

namespace hessian::experiments {

std::size_t index_of_word(const std::string& word, const std::vector<std::string>& accepted) {
  std::string list;
  for (std::size_t i = 0; i < accepted.size(); ++i) {
    if (accepted[i] == word) {
      return i;
    }
    list += (list.empty() ? "" : ", ") + accepted[i];
  }
  throw std::invalid_argument("'" + word + "' is none of " + list);
}

}  // namespace hessian::experiments
