#pragma once

#include <cstdint>
#include <vector>

#include "distributed/process_group.h"
#include "probe/probe.h"

namespace hessian::experiments {

/// What one process of a job does of a probe: some sequences of all that are probed, and every so many-th group of rows.
struct ProbeShare {
  Share sequences;
  int64_t groups_part = 0;  ///< this process takes the groups groups_part, groups_part + groups_parts, ...
  int64_t groups_parts = 1;
};

/// Divides the sequences among as many processes as there are sequences for, and the groups among the rest: the work of
/// a sequence is the same for all, that of a layer is not.
ProbeShare probe_share(const ProcessGroup& group, int64_t sequences);

/// Completes rows of which each process has filled what is of its share; other entries are zero.
void merge_rows(const ProcessGroup& group, std::vector<ProbeRow>& rows);

/// A row whose entries are all zero.
ProbeRow empty_row(models::Site site, int64_t layer, int64_t sequences, bool with_check);

}  // namespace hessian::experiments
