#pragma once

#include <filesystem>

#include "hessian/models/model.h"
#include "hessian/models/training_data.h"
#include "train/config.h"

namespace hessian::experiments {

/// Returns the weights that a run starts from: randomly initialised, or loaded from a checkpoint.
/// \throws std::invalid_argument, std::runtime_error  if the configuration names no model that can be made or read
models::Model initial_model(const TrainConfig& config);

/// Copies the tokenizer's files into the run's folder, so that hessian-probe finds them next to the checkpoints. Does nothing
/// if the data is not text or has no tokenizer.
void copy_tokenizer(const TrainConfig& config, const std::filesystem::path& folder);

/// Opens a run's data for a model of that architecture.
/// \throws std::invalid_argument  if its sequences are longer than the model's positions
/// \throws std::runtime_error     if the data cannot be read or has tokens outside the vocabulary
models::TrainingData open_training_data(const TrainConfig& config, const models::GptConfig& architecture);

}  // namespace hessian::experiments
