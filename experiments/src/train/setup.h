#pragma once

#include <optional>

#include "hessian/models/data_record.h"
#include "hessian/models/model.h"
#include "hessian/models/tokenizer.h"
#include "hessian/models/training_data.h"
#include "train/config.h"

namespace hessian::experiments {

/// Returns the weights that a run starts from: randomly initialised, or loaded from a checkpoint.
/// \throws std::invalid_argument, std::runtime_error  if the configuration names no model that can be made or read
models::Model initial_model(const TrainConfig& config);

/// Opens a run's data for a model of that architecture.
/// \throws std::invalid_argument  if its sequences are longer than the model's positions
/// \throws std::runtime_error     if the data or the tokenizer cannot be read, or has tokens outside the vocabulary
models::TrainingData open_training_data(const TrainConfig& config, const models::GptConfig& architecture);

/// The data of a run that records it.
struct RunData {
  models::TrainingData sequences;
  std::optional<models::Tokenizer> tokenizer;  ///< absent: bytes, or tokens whose tokenizer is unknown
  models::DataRecord record;
};

/// Opens a run's data, as open_training_data(), and identifies it.
/// \param recorded  record of the checkpoint that the run continues from, if it has one. If the tokenizer is no longer where
///                  the run found it, the copy in the run's folder is used.
/// \throws std::runtime_error  also if text, tokens or tokenizer are not those of the record
RunData open_run_data(const TrainConfig& config, const models::GptConfig& architecture,
                      const std::optional<models::DataRecord>& recorded);

/// Opens the data of a run, and draws its held-out sequences, to find what is wrong with them before the run is started. Does
/// nothing if its model cannot be loaded.
/// \throws std::invalid_argument, std::runtime_error  as the run would
void check_training_data(const TrainConfig& config);

}  // namespace hessian::experiments
