#pragma once

#include <ATen/ATen.h>

#include <cstdint>
#include <functional>
#include <optional>
#include <stdexcept>
#include <string>

#include "probe/probe.h"
#include "probe/problem.h"

namespace hessian::experiments {

/// What a probe holds beside its eigenproblems.
struct HeldMemory {
  int64_t bytes = 0;           ///< of weights and residuals that are held throughout
  bool streamed = false;       ///< whether weights pass by block by block
  int64_t streamed_bytes = 0;  ///< of those that do so at once
};

/// There is too little memory for the smallest way to divide a problem.
class NotEnoughMemory : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// How the eigenproblems of a site are divided so that each part's tape or graph and Lanczos basis fit into memory.
struct MemoryPlan {
  int64_t layers_at_once = 1;
  int64_t sequences_at_once = 1;
  int64_t max_basis = 64;  ///< basis vectors of each layer and sequence
  Keep keep = Keep::everything;
  bool streamed = false;                   ///< whether weights are fetched block by block for each product
  std::optional<int64_t> predicted_bytes;  ///< of a part and all else; absent where nothing limits memory
  std::optional<int64_t> allowed_bytes;
  /// Of a product with the first layers' and sequences' Hessians; absent where none was made.
  std::optional<double> product_seconds;
};

/// The problem of the first `layers` layers to be probed, on the first `positions` positions of each sequence.
using ProblemOf = std::function<ProbeProblem(int64_t layers, int64_t positions)>;

/// Bytes that a probe may hold: what is asked for, or three quarters of what is free; nothing where that is not known.
std::optional<int64_t> allowed_bytes(const ProbeOptions& options, at::Device device);

/// Measures one sequence, at the first layers since they need most, and divides the memory allowed by what it takes.
/// Prefers, in this order: all layers together, fewer layers, a smaller basis, computing blocks again. Where weights
/// are streamed, blocks are always computed again, and a product for all sequences that go together is measured too:
/// what weights take does not grow with the sequences.
/// \param layers     how many are to be probed
/// \param sequences  how many there are, of `positions` tokens each
/// \throws NotEnoughMemory  if one sequence does not fit, saying what would
MemoryPlan plan_memory(const ProbeOptions& options, at::Device device, int64_t layers, int64_t sequences,
                       int64_t positions, const ProblemOf& problem, const HeldMemory& held = {});

/// "residual: 5 layers and 8 sequences at once, everything kept; 312 MiB planned of 6.1 GiB allowed".
std::string describe(const MemoryPlan& plan, models::Site site);

}  // namespace hessian::experiments
