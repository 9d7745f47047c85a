#pragma once

#include <filesystem>
#include <optional>

#include "train/train.h"

namespace hessian::experiments {

/// Refuses to start where results exist.
/// \throws std::runtime_error  if the file exists, advising --resume or --overwrite
void refuse_existing(const std::filesystem::path& file);

/// Checks what the run's folder contains, and returns the report of a finished run if it is to be resumed: there is
/// nothing left to do then.
/// \throws std::invalid_argument  if a finished run belongs to a configuration that trains differently
/// \throws std::runtime_error     if there are results that are neither to be resumed nor to be replaced
std::optional<TrainReport> find_finished_run(const TrainOptions& options);

}  // namespace hessian::experiments
