#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "hessian/models/config.h"

namespace hessian::models {

/// A named size of a family, with the family's own placement.
struct NamedSize {
  std::string name;
  GptConfig config;
};

/// Returns the sizes of all families: those of the official SimpleGPT code (llama2, llama3), of nanoGPT (gpt2: 10M is its
/// character model, the others are the sizes of GPT-2 with a vocabulary of 50304 and no biases, as nanoGPT trains them), and
/// the published sizes of the other families. docs/models.md lists them.
const std::vector<NamedSize>& named_sizes();

/// Parses "new:FAMILY-SIZE" or "new:FAMILY-SIZE-PLACEMENT", such as new:qwen3-0.6B or new:llama2-20M-simplegpt. Without a
/// placement it is the family's own. Upper and lower case of sizes are the same.
/// \param vocab_size  replaces the size's own vocabulary
/// \throws std::runtime_error  one line that names the accepted words
GptConfig parse_model_name(const std::string& name, std::optional<int64_t> vocab_size = std::nullopt);

/// Returns whether `source` names a new model ("new:...") rather than a path.
bool is_model_name(const std::string& source);

/// Returns the label of a model in tables, figures and folder names: FAMILY-SIZE-PLACEMENT, such as
/// `llama2-0.9M-simplegpt`.
///
/// The size is the official name if the architecture is a named size, whatever its vocabulary, context length and
/// placement (versions of one size are told apart by their windows). Otherwise it is the parameter count of the PreNorm model of these dimensions, so that all placements of
/// one architecture share it: `139K`, `0.9M`, `1.3B`; with one decimal below 10 and none from 10 on.
std::string model_label(const GptConfig& config);

/// Returns config_to_json(config) with the model's label under the additional key `label`.
std::string labelled_config_json(const GptConfig& config);

}  // namespace hessian::models
