#pragma once

#include <ATen/ATen.h>

#include <cstdint>
#include <functional>
#include <optional>
#include <stdexcept>
#include <string>

#include "probe/probe.h"
#include "probe/problem.h"
#include "program/job_place.h"

namespace hessian::experiments {

/// The device whose memory a probe uses, and the number of processes that use it.
struct ComputeMemory {
  at::Device device = at::kCPU;
  int64_t processes = 1;  ///< processes of the job that share the memory
};

/// Returns the device with the number of processes of the job that share its memory.
ComputeMemory compute_memory(at::Device device, const JobPlace& place);

/// Memory that a probe occupies besides its eigenproblems.
struct HeldMemory {
  int64_t bytes = 0;           ///< weights and residuals that are held throughout
  bool streamed = false;       ///< whether weights are loaded layer by layer
  int64_t streamed_bytes = 0;  ///< weights that are loaded at the same time if they are streamed
};

/// Number of vectors of the eigensolver per layer and sequence besides its basis; see lanczos().
inline constexpr int64_t vectors_besides_basis = 8;

/// Thrown if even the smallest division of a problem does not fit into memory.
class NotEnoughMemory : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// How many eigenproblems of a site are solved together, so that their tape or graph and Lanczos basis fit into memory.
struct MemoryPlan {
  int64_t layers_at_once = 1;
  int64_t sequences_at_once = 1;
  int64_t max_basis = 64;  ///< basis vectors per layer and sequence
  /// Vectors per layer and sequence that verify residuals together; 2 only if both ends are computed and both fit into the
  /// memory that the basis has released.
  int64_t verified_at_once = 1;
  Keep keep = Keep::everything;
  bool streamed = false;                   ///< whether weights are fetched layer by layer for each product
  std::optional<int64_t> predicted_bytes;  ///< planned peak, weights and residuals included; absent without a limit
  std::optional<int64_t> allowed_bytes;
  /// Duration of a product with the Hessians of the first `layers_at_once` layers and `sequences_at_once` sequences;
  /// absent if none was measured.
  std::optional<double> product_seconds;
};

/// Returns the problem of the first `layers` layers to be probed, on the first `positions` positions of each sequence.
using ProblemOf = std::function<ProbeProblem(int64_t layers, int64_t positions)>;

/// Returns the memory limit: the requested one, or three quarters of this process's share of the free memory, or
/// nothing if that is unknown.
std::optional<int64_t> allowed_bytes(const ProbeOptions& options, const ComputeMemory& memory);

/// Plans how many layers and sequences are solved together. Measures the memory of one sequence at the first layers,
/// which need most, and divides the memory limit by it. Prefers, in this order: all layers together, fewer layers, a
/// smaller basis, recomputing layers. Streamed weights imply recomputing. Then a product for several sequences is
/// measured, too, because the memory of the weights does not grow with the number of sequences.
/// \param layers     number of layers to be probed
/// \param sequences  number of sequences, of `positions` tokens each
/// \throws NotEnoughMemory  if one sequence does not fit; the message names a limit that suffices
MemoryPlan plan_memory(const ProbeOptions& options, const ComputeMemory& memory, int64_t layers, int64_t sequences,
                       int64_t positions, const ProblemOf& problem, const HeldMemory& held = {});

/// Describes a plan: "residual: 5 layers and 8 sequences at once, everything kept; 312 MiB planned of 6.1 GiB allowed".
std::string describe(const MemoryPlan& plan, models::Site site);

}  // namespace hessian::experiments
