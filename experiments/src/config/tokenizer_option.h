#pragma once

#include <string>

namespace hessian::experiments {

/// Returns the tokenizer that an option names, or that lies in the folder of the model. Empty: text is read as bytes.
/// \param option  a file or a folder, `bytes`, or empty
/// \param model   a checkpoint, or the name of a new model
std::string choose_tokenizer(const std::string& option, const std::string& model);

}  // namespace hessian::experiments
