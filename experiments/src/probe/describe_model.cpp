#include "probe/describe_model.h"

#include <algorithm>
#include <stdexcept>

#include "config/dtype.h"
#include "config/tokenizer_option.h"
#include "hessian/models/checkpoint.h"
#include "hessian/models/token_data.h"
#include "hessian/models/tokenizer.h"
#include "hessian/models/weight_stream.h"
#include "probe/subject.h"

namespace hessian::experiments {
namespace {

/// Returns the name of a precision in which a file may store weights.
std::string stored_name(at::ScalarType type) {
  switch (type) {
    case at::kFloat:
    case at::kDouble:
    case at::kBFloat16:
      return dtype_name(type);
    case at::kHalf:
      return "float16";
    default:
      return c10::toString(type);
  }
}

void describe_weights(const models::LoadedCheckpoint& checkpoint, ModelDescription& description) {
  description.format = checkpoint.description;
  description.step = checkpoint.training_step;
  description.config = checkpoint.model.config;
  for (const auto& [name, tensor] : checkpoint.model.parameters) {
    description.stored[stored_name(tensor.scalar_type())] += tensor.numel();
    description.stored_bytes += static_cast<int64_t>(tensor.nbytes());
  }
  if (models::can_be_streamed(checkpoint.model, at::kCPU)) {
    description.streamed_bytes = models::streamed_bytes(checkpoint.model, at::kFloat);
  }
}

TokenizerDescription describe_tokenizer(const ProbeOptions& options) {
  TokenizerDescription result;
  try {
    const std::string chosen = choose_tokenizer(options.tokenizer, options.model, "--tokenizer");
    result.bytes = chosen == models::bytes_tokenizer;
    if (chosen.empty() || result.bytes) {
      return result;
    }
    result.path = chosen;
    const models::Tokenizer tokenizer = models::Tokenizer::load(chosen);
    result.path = tokenizer.path();
    result.kind = tokenizer.description();
    result.size = tokenizer.vocab_size();
  } catch (const std::runtime_error& error) {
    if (!options.tokenizer.empty()) {
      throw;
    }
    result.problem = error.what();
  }
  return result;
}

}  // namespace

ModelDescription describe_model(const ProbeOptions& options) {
  ModelDescription result;
  result.model = options.model;
  if (const auto fresh = fresh_architecture(options)) {
    result.format = "fresh weights";
    result.config = *fresh;
  } else {
    describe_weights(models::load_checkpoint(options.model, models::WeightAccess::unread), result);
  }
  check_seq_len(options, result.config);
  result.tokenizer = describe_tokenizer(options);
  result.seq_len =
      options.seq_len == 0 ? std::min(models::default_seq_len, result.config.max_seq_len) : options.seq_len;
  return result;
}

}  // namespace hessian::experiments
