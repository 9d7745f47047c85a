#pragma once

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>

#include <cstdint>
#include <string>
#include <vector>

#include "formats/safetensors.h"
#include "hessian/models/training_data.h"
#include "loader_support.h"
#include "train/config.h"
#include "train/training.h"

namespace hessian::support {

/// Writes tokens [n] to a file of uint16 and returns its path.
inline std::string write_tokens(const TemporaryFolder& folder, const std::string& name, const at::Tensor& tokens) {
  std::string bytes;
  for (int64_t i = 0; i < tokens.size(0); ++i) {
    bytes += little_endian(static_cast<uint16_t>(tokens[i].item<int64_t>()));
  }
  return folder.write(name, bytes);
}

/// Writes sequences [B, T + 1] to a safetensors file of tokens and targets, and returns its path.
inline std::string write_rows(const TemporaryFolder& folder, const std::string& name, const at::Tensor& rows) {
  Parameters tensors;
  tensors.add("tokens", rows.narrow(1, 0, rows.size(1) - 1).contiguous());
  tensors.add("targets", rows.narrow(1, 1, rows.size(1) - 1).contiguous());
  models::save_safetensors(folder / name, tensors, {});
  return folder / name;
}

inline models::TrainingData open_data(const experiments::TrainConfig& config, int64_t vocab_size) {
  models::TrainingDataOptions options;
  options.source = config.data.source;
  options.seq_len = config.data.seq_len;
  options.vocab_size = vocab_size;
  options.seed = static_cast<uint64_t>(config.seed);
  return models::TrainingData::open(options);
}

/// Returns a model in training on the CPU.
inline experiments::Training training_of(const experiments::TrainConfig& config, const models::Model& model) {
  return {config, model, open_data(config, model.config.vocab_size), at::kCPU};
}

}  // namespace hessian::support
