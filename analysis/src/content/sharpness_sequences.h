#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "content/run_content.h"

namespace hessian::analysis {

/// Numbers of sequences, according to the configuration of a training run or a sweep.
struct SharpnessSequences {
  int64_t measured = 0;   ///< those of the mean loss whose sharpness was measured
  int64_t of_update = 0;  ///< those of an update; the sharpness of fewer is biased upwards
};

/// Returns the numbers of a run; nothing if it does not measure the sharpness, or its configuration cannot be parsed.
std::optional<SharpnessSequences> sharpness_sequences(const RunContent& run);

/// Names the sequences of several runs: "8 held-out sequences" or "2 to 8 held-out sequences"; empty if they are unknown.
std::string sharpness_sequences_text(const std::vector<RunContent>& runs);

/// Returns a warning if a run's sharpness is that of fewer sequences than its updates have, otherwise nothing.
std::optional<std::string> sharpness_sequences_warning(const RunContent& run, const std::string& label);

}  // namespace hessian::analysis
