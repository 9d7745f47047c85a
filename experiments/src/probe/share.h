#pragma once

#include <cstdint>
#include <vector>

#include "distributed/process_group.h"
#include "probe/probe.h"

namespace hessian::experiments {

/// The work of one process on a probe: some of the sequences, and every `group_stride`-th group of rows.
struct ProbeShare {
  Share sequences;
  int64_t first_group = 0;   ///< this process computes the groups first_group, first_group + group_stride, ...
  int64_t group_stride = 1;  ///< number of processes that the groups are divided among
};

/// Divides the sequences among as many processes as possible, and the groups among the rest: every sequence costs the
/// same, but layers do not.
ProbeShare probe_share(const ProcessGroup& group, int64_t sequences);

/// Completes rows in every process. Each process has filled in its share; all other entries must be zero.
void merge_rows(const ProcessGroup& group, std::vector<ProbeRow>& rows);

/// Returns a row of zeros.
ProbeRow empty_row(models::Site site, int64_t layer, int64_t sequences, bool with_check);

/// Sets a sequence's results to NaN and `converged` to 0: its forward pass overflowed, so the numbers would not be the
/// model's.
void forget_sequence(ProbeRow& row, std::size_t sequence);

}  // namespace hessian::experiments
