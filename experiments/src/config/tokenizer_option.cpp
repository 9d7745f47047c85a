#include "config/tokenizer_option.h"

#include "hessian/models/named_models.h"
#include "hessian/models/token_data.h"

namespace hessian::experiments {

std::string choose_tokenizer(const std::string& option, const std::string& model) {
  if (option == "bytes") {
    return {};
  }
  return option.empty() && !models::is_model_name(model) ? models::find_model_tokenizer(model) : option;
}

}  // namespace hessian::experiments
