#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>

#include "hessian/models/config.h"
#include "probe/probe.h"

namespace hessian::experiments {

/// The tokenizer that a probe reads text with.
struct TokenizerDescription {
  bool bytes = false;        ///< none, since the model reads bytes
  std::string path = {};     ///< empty: there is none
  std::string kind = {};     ///< "tokenizer.json (BPE)"
  int64_t size = 0;          ///< number of tokens
  std::string problem = {};  ///< why it cannot be read; empty if it can
};

/// What is known of a model without computing.
struct ModelDescription {
  std::string model = {};   ///< as it was given: a path, or new:NAME
  std::string format = {};  ///< "Hugging Face Qwen3ForCausalLM", or "fresh weights"
  int64_t step = 0;         ///< training step of a checkpoint, 0 if it does not say
  models::GptConfig config = {};
  std::map<std::string, int64_t> stored = {};  ///< number of parameters per stored precision; empty for fresh weights
  int64_t stored_bytes = 0;
  std::optional<int64_t> streamed_bytes = {};  ///< float32 weights that are loaded at a time if a probe streams them
  TokenizerDescription tokenizer = {};
  int64_t seq_len = 0;  ///< tokens per sequence of a probe
};

/// Describes the model that the options name. Uses `model`, `vocab_size`, `tokenizer` and `seq_len`.
/// \throws std::invalid_argument, std::runtime_error  as run_probe, with two exceptions: a tokenizer in the model's folder
///                                                    that cannot be read is described, and weights may have any values
/// Cost: reads the headers of the files and the tokenizer, but no weights. Fresh weights are not drawn.
ModelDescription describe_model(const ProbeOptions& options);

/// Formats a description as a table, a line per property.
std::string format_text(const ModelDescription& description);

/// Formats a description as one JSON object: `config` has the keys of a checkpoint's configuration, the other keys what
/// follows from it, and what is known of the files.
std::string format_json(const ModelDescription& description);

}  // namespace hessian::experiments
