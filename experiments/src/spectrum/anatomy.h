#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "probe/subject.h"
#include "spectrum/spectrum.h"

namespace hessian::experiments {

/// Returns the linear maps of some layers.
std::vector<LayerMap> layer_maps(const models::Forward& forward, const std::vector<int64_t>& layers);

/// Computes the spectral norms of both terms of H_xx at one map.
/// \param residual           input of the map's layer, [S, T, dim]
/// \param sequences_at_once  number of sequences that are solved together
/// Cost: three eigenproblems per sequence, or one if no norm follows the map.
MapAnatomy dissect(const SpectrumOptions& options, const ProbeSubject& subject, const LayerMap& map,
                   const at::Tensor& residual, int64_t sequences_at_once);

}  // namespace hessian::experiments
