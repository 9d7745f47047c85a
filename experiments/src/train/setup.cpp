#include "train/setup.h"

#include "hessian/models/checkpoint.h"
#include "hessian/models/named_models.h"

namespace hessian::experiments {

models::Model initial_model(const TrainConfig& config) {
  if (models::is_model_name(config.model.name)) {
    return models::initialise_model(architecture_of(config), static_cast<uint64_t>(config.seed));
  }
  return models::load_checkpoint(config.model.name).model;
}

models::TrainingData open_training_data(const TrainConfig& config, const models::GptConfig& architecture) {
  check_seq_len(config, architecture);
  models::TrainingDataOptions options;
  options.source = config.data.source;
  options.seq_len = config.data.seq_len;
  options.vocab_size = architecture.vocab_size;
  options.accept_larger_vocab = models::is_model_name(config.model.name);
  options.seed = static_cast<uint64_t>(config.seed);
  return models::TrainingData::open(options);
}

}  // namespace hessian::experiments
