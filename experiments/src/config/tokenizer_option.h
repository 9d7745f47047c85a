#pragma once

#include <string>

namespace hessian::experiments {

/// Returns the tokenizer for the data of a model: the one that an option names; otherwise, for a checkpoint that a training
/// run has recorded its tokenizer in, that one, which must be in the checkpoint's folder; otherwise the one in the folder of
/// the model.
/// \param option       a file or a folder, `bytes`, or empty
/// \param model        a checkpoint, or the name of a new model
/// \param option_name  for messages
/// \return  a path; `bytes`; or empty: there is no tokenizer
/// \throws std::runtime_error  one line, if the tokenizer in the folder is not the recorded one
std::string choose_tokenizer(const std::string& option, const std::string& model, const std::string& option_name);

}  // namespace hessian::experiments
