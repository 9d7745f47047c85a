#include "train/setup.h"

#include "config/tokenizer_option.h"
#include "hessian/models/checkpoint.h"
#include "hessian/models/named_models.h"
#include "hessian/models/tokenizer.h"
#include "io/atomic_file.h"
#include "io/byte_reader.h"
#include "io/mapped_file.h"

namespace hessian::experiments {

models::Model initial_model(const TrainConfig& config) {
  if (models::is_model_name(config.model.name)) {
    return models::initialise_model(architecture_of(config), static_cast<uint64_t>(config.seed));
  }
  return models::load_checkpoint(config.model.name).model;
}

void copy_tokenizer(const TrainConfig& config, const std::filesystem::path& folder) {
  const std::string tokenizer = choose_tokenizer(config.data.tokenizer, config.model.name);
  if (tokenizer.empty() || !models::is_text_source(config.data.source)) {
    return;
  }
  const models::Tokenizer loaded = models::Tokenizer::load(tokenizer);
  for (const std::string& source : loaded.files()) {
    const std::filesystem::path target = folder / std::filesystem::path(source).filename();
    std::error_code error;
    if (!std::filesystem::equivalent(source, target, error)) {
      models::write_file(target, models::as_text(models::MappedFile::open(source)->bytes()));
    }
  }
}

models::TrainingData open_training_data(const TrainConfig& config, const models::GptConfig& architecture) {
  check_seq_len(config, architecture);
  models::TrainingDataOptions options;
  options.source = config.data.source;
  options.tokenizer = choose_tokenizer(config.data.tokenizer, config.model.name);
  options.token_type = config.data.token_type;
  options.seq_len = config.data.seq_len;
  options.vocab_size = architecture.vocab_size;
  options.accept_larger_vocab = models::is_model_name(config.model.name);
  options.seed = static_cast<uint64_t>(config.seed);
  return models::TrainingData::open(options);
}

}  // namespace hessian::experiments
