#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "probe/subject.h"
#include "spectrum/spectrum.h"

namespace hessian::experiments {

/// The linear maps of the blocks asked for.
std::vector<BlockMap> block_maps(const models::Forward& forward, const std::vector<int64_t>& layers);

/// Both terms of H_xx at one map: a row of each dataset of /anatomy, [1, S]; see hessian/map_curvature.h.
/// \param residual           the residual before the map's block, [S, T, dim]
/// \param sequences_at_once  how many sequences are solved together
/// Cost: three eigenproblems for each sequence, one where no norm follows the map.
Numbers dissect(const SpectrumOptions& options, const ProbeSubject& subject, const BlockMap& map,
                const at::Tensor& residual, int64_t sequences_at_once);

}  // namespace hessian::experiments
