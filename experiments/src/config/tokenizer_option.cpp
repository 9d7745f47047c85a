#include "config/tokenizer_option.h"

#include <stdexcept>

#include "hessian/models/data_record.h"
#include "hessian/models/named_models.h"
#include "hessian/models/token_data.h"

namespace hessian::experiments {

std::string choose_tokenizer(const std::string& option, const std::string& model, const std::string& option_name) {
  if (!option.empty() || models::is_model_name(model)) {
    return option;
  }
  std::string recorded = models::read_data_record(model).value_or(models::DataRecord{}).tokenizer;
  if (recorded == models::bytes_tokenizer) {
    return recorded;
  }
  std::string found = models::find_model_tokenizer(model);
  if (recorded.empty()) {
    return found;
  }
  if (found.empty()) {
    throw std::runtime_error(model + ": was trained with a tokenizer that is not in its folder; give it with " +
                             option_name);
  }
  if (models::digest_of(models::Tokenizer::load(found)) != recorded) {
    throw std::runtime_error(found + ": is not the tokenizer that " + model + " was trained with; give that one with " +
                             option_name);
  }
  return found;
}

}  // namespace hessian::experiments
