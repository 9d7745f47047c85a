#pragma once

// This project's own form of a checkpoint: a safetensors file with the architecture and the step in its metadata.

#include <cstdint>
#include <map>
#include <string>

#include "formats/safetensors.h"
#include "hessian/models/checkpoint.h"

namespace hessian::models {

/// Returns the metadata of a checkpoint.
std::map<std::string, std::string> own_metadata(const GptConfig& config, std::int64_t training_step);

/// Returns the model in the file, without training state.
/// \throws std::runtime_error  one line, beginning with the path
LoadedCheckpoint model_of(const SafetensorsFile& file, const std::string& path,
                          WeightAccess access = WeightAccess::ready);

/// Parses a number of the metadata.
/// \throws std::runtime_error  unless it is a non-negative integer
std::int64_t parse_count(const std::string& text, const char* key, const std::string& path);

}  // namespace hessian::models
