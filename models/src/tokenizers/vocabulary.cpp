#include "tokenizers/vocabulary.h"

#include <algorithm>
#include <utility>

namespace hessian::models {

void Vocabulary::add(std::string text, std::int32_t id) {
  const auto [entry, is_new] = ids_.insert_or_assign(std::move(text), id);
  texts_[id] = &entry->first;
  end_id_ = std::max(end_id_, id + 1);
}

std::optional<std::int32_t> Vocabulary::find(std::string_view text) const {
  const auto found = ids_.find(text);
  return found == ids_.end() ? std::nullopt : std::optional(found->second);
}

const std::string* Vocabulary::text(std::int32_t id) const {
  const auto found = texts_.find(id);
  return found == texts_.end() ? nullptr : found->second;
}

}  // namespace hessian::models
