#include "train/setup.h"

#include <filesystem>
#include <stdexcept>
#include <utility>

#include "config/tokenizer_option.h"
#include "hessian/models/checkpoint.h"
#include "hessian/models/named_models.h"
#include "hessian/models/token_data.h"
#include "tokens/text_files.h"
#include "train/training.h"

namespace hessian::experiments {
namespace {

const models::DataOptionNames option_names = {"data.source", "data.tokenizer", "data.token_type"};

/// Returns the tokenizer that a configuration asks for: a path, `bytes`, or empty.
std::string tokenizer_of(const TrainConfig& config) {
  const bool is_needed = models::is_text_source(config.data.source) || !config.data.tokenizer.empty();
  return is_needed ? choose_tokenizer(config.data.tokenizer, config.model.name, option_names.tokenizer) : "";
}

models::TrainingData open_sequences(const TrainConfig& config, const models::GptConfig& architecture,
                                    const std::string& tokenizer) {
  check_seq_len(config, architecture);
  models::TrainingDataOptions options;
  options.source = config.data.source;
  options.tokenizer = tokenizer;
  options.token_type = config.data.token_type;
  options.seq_len = config.data.seq_len;
  options.vocab_size = architecture.vocab_size;
  options.accept_larger_vocab = models::is_model_name(config.model.name);
  options.seed = static_cast<uint64_t>(config.seed);
  options.names = option_names;
  return models::TrainingData::open(options);
}

/// Returns the copy of the recorded tokenizer in the run's folder if the tokenizer is no longer where the run found it.
std::optional<models::Tokenizer> find_recorded_copy(const TrainConfig& config, const models::DataRecord& recorded) {
  if (recorded.tokenizer.empty() || recorded.tokenizer == models::bytes_tokenizer) {
    return std::nullopt;
  }
  std::error_code error;
  const std::string& wanted = config.data.tokenizer;
  const bool is_there = wanted.empty() ? !models::find_model_tokenizer(config.model.name).empty()
                                       : std::filesystem::exists(wanted, error);
  const auto path = is_there ? std::nullopt : models::Tokenizer::find(config.out);
  if (!path) {
    return std::nullopt;
  }
  models::Tokenizer copy = models::Tokenizer::load(*path);
  return models::digest_of(copy) == recorded.tokenizer ? std::optional(std::move(copy)) : std::nullopt;
}

/// Throws if the data is not that of the record.
void check_unchanged(const TrainConfig& config, const models::DataRecord& recorded, const RunData& data) {
  const std::string run = "since the run in " + config.out + " was started";
  const std::string remedy = "; restore it, or start again with --overwrite";
  if (data.record.source != recorded.source) {
    throw std::runtime_error(config.data.source + ": has changed " + run + remedy);
  }
  if (data.record.tokenizer != recorded.tokenizer) {
    const std::string name = data.tokenizer ? data.tokenizer->path() : option_names.tokenizer;
    throw std::runtime_error(name + ": the tokenizer has changed " + run + remedy);
  }
}

}  // namespace

models::Model initial_model(const TrainConfig& config) {
  if (models::is_model_name(config.model.name)) {
    return models::initialise_model(architecture_of(config), static_cast<uint64_t>(config.seed));
  }
  return models::load_checkpoint(config.model.name).model;
}

models::TrainingData open_training_data(const TrainConfig& config, const models::GptConfig& architecture) {
  return open_sequences(config, architecture, tokenizer_of(config));
}

RunData open_run_data(const TrainConfig& config, const models::GptConfig& architecture,
                      const std::optional<models::DataRecord>& recorded) {
  const auto copy = recorded ? find_recorded_copy(config, *recorded) : std::nullopt;
  const std::string tokenizer = copy ? copy->path() : tokenizer_of(config);
  RunData data{open_sequences(config, architecture, tokenizer), copy, {}};
  data.record.source = models::source_digest(config.data.source);
  if (tokenizer == models::bytes_tokenizer || (tokenizer.empty() && models::is_text_source(config.data.source))) {
    data.record.tokenizer = models::bytes_tokenizer;
  } else if (!tokenizer.empty()) {
    data.tokenizer = models::Tokenizer::load(tokenizer);
    data.record.tokenizer = models::digest_of(*data.tokenizer);
  }
  if (recorded) {
    check_unchanged(config, *recorded, data);
    data.record.files = recorded->files;
  }
  return data;
}

void check_training_data(const TrainConfig& config) {
  std::optional<models::GptConfig> architecture;
  try {
    architecture = models::is_model_name(config.model.name)
                       ? architecture_of(config)
                       : models::load_checkpoint(config.model.name, models::WeightAccess::unread).model.config;
  } catch (const std::runtime_error&) {
    return;  // the run says what is wrong with its model
  }
  const models::TrainingData data = open_training_data(config, *architecture);
  if (config.validation.every > 0) {
    data.held_out(config.validation.sequences, held_out_seed);
  }
}

}  // namespace hessian::experiments
