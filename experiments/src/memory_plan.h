#pragma once

#include <ATen/ATen.h>

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "experiments/probe.h"
#include "probe_problem.h"

namespace experiments {

/// How the eigenproblems of a site are divided so that each part's tape or graph and Lanczos basis fit into memory.
struct MemoryPlan {
  int64_t layers_at_once = 1;
  int64_t sequences_at_once = 1;
  int64_t max_basis = 64;  ///< basis vectors of each layer and sequence
  Keep keep = Keep::everything;
  std::optional<int64_t> predicted_bytes;  ///< of a part; absent where nothing limits memory
  std::optional<int64_t> allowed_bytes;
};

/// The problem of the first `layers` layers to be probed, on the first `positions` positions of each sequence.
using ProblemOf = std::function<ProbeProblem(int64_t layers, int64_t positions)>;

/// Measures one sequence, at the first layers since they need most, and divides the memory allowed by what it takes.
/// Prefers, in this order: all layers together, fewer layers, a smaller basis, computing blocks again.
/// \param layers     how many are to be probed
/// \param sequences  how many there are, of `positions` tokens each
/// \throws std::runtime_error  if one sequence does not fit, saying what would
MemoryPlan plan_memory(const ProbeOptions& options, at::Device device, int64_t layers, int64_t sequences,
                       int64_t positions, const ProblemOf& problem);

/// "residual: 5 layers and 8 sequences at once, everything kept; 312 MiB planned of 6.1 GiB allowed".
std::string describe(const MemoryPlan& plan, models::Site site);

}  // namespace experiments
