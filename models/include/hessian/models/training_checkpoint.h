#pragma once

#include <cstdint>
#include <string>

#include "hessian/models/model.h"

namespace hessian::models {

/// What a training run needs beside the weights to go on as if it had never stopped.
struct TrainingState {
  std::int64_t step = 0;            ///< updates done
  std::int64_t sequences_seen = 0;  ///< position in the order of the training data
  hessian::Parameters optimizer;    ///< the optimizer's tensors, under names of its own choice
  at::Tensor generator;             ///< [n] uint8, state of LibTorch's default CPU generator
  std::string config;               ///< TOML text of everything that decided the run
};

struct TrainingCheckpoint {
  Model model;
  TrainingState state;
};

/// Writes weights and training state into one safetensors file, which appears whole or not at all. The weights stand in
/// it as save_checkpoint writes them, so that load_checkpoint reads the model of it.
/// \throws std::runtime_error  one line, beginning with the path
void save_training_checkpoint(const TrainingCheckpoint& checkpoint, const std::string& path);

/// Reads it back into memory of its own, bit for bit.
/// \throws std::runtime_error  one line, beginning with the path; also for a checkpoint without training state
TrainingCheckpoint load_training_checkpoint(const std::string& path);

/// Whether a tensor of that name in a checkpoint is training state and no weight.
bool is_training_state(const std::string& tensor_name);

}  // namespace hessian::models
