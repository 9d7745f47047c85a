#pragma once

#include <string>

#include "train/config.h"

namespace hessian::benchmarks {

/// Returns the configuration of a training run whose updates are timed: without validation, and with more steps than
/// are timed.
/// \param batch_size  sequences per update
inline experiments::TrainConfig timed_training(const std::string& model, int64_t batch_size) {
  experiments::TrainConfig config;
  config.steps = 1'000'000;
  config.device = "cpu";
  config.model.name = model;
  config.data.batch_size = batch_size;
  config.validation.every = 0;
  return config;
}

}  // namespace hessian::benchmarks
