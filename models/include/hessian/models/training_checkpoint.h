#pragma once

#include <cstdint>
#include <string>

#include "hessian/models/model.h"

namespace hessian::models {

/// The state that a training run needs, in addition to the weights, to resume as if it had never stopped.
struct TrainingState {
  std::int64_t step = 0;            ///< updates done
  std::int64_t sequences_seen = 0;  ///< position in the order of the training data
  Parameters optimizer;             ///< the optimizer's tensors, under names that the optimizer chooses
  at::Tensor generator;             ///< [n] uint8, state of LibTorch's default CPU generator
  std::string config;               ///< TOML text of everything that determines the run
  std::string data = {};            ///< JSON of the run's DataRecord; empty in older files
};

struct TrainingCheckpoint {
  Model model;
  TrainingState state;
};

/// Writes weights and training state to one safetensors file, which appears whole or not at all. The weights are stored
/// as by save_checkpoint(), so that load_checkpoint() can read the model.
/// \throws std::runtime_error  one line, beginning with the path
void save_training_checkpoint(const TrainingCheckpoint& checkpoint, const std::string& path);

/// Reads a file of save_training_checkpoint(), bit for bit, into newly allocated tensors.
/// \throws std::runtime_error  one line, beginning with the path; also for a checkpoint without training state
TrainingCheckpoint load_training_checkpoint(const std::string& path);

/// Returns whether the tensor of this name in a checkpoint is training state rather than a weight.
bool is_training_state(const std::string& tensor_name);

}  // namespace hessian::models
