#pragma once

#include <filesystem>
#include <optional>

#include "train/train.h"

namespace hessian::experiments {

/// Throws std::runtime_error if the file exists; the message suggests --resume or --overwrite.
void refuse_existing(const std::filesystem::path& file);

/// Returns the report of the run in the configured folder if it is to be resumed but finished already, so that nothing
/// is left to do. Otherwise returns nothing.
/// \throws std::invalid_argument  if that run belongs to a configuration that trains differently
/// \throws std::runtime_error     if results exist and options.existing is `refuse`
std::optional<TrainReport> find_finished_run(const TrainOptions& options);

}  // namespace hessian::experiments
