#pragma once

#include <optional>
#include <vector>

#include "content/spectrum_content.h"
#include "content/tolerant_reader.h"

namespace hessian::analysis {

/// Reads every `/density/NAME` among the datasets.
std::vector<DensityCurve> read_densities(TolerantReader& reader, const std::vector<experiments::DatasetSpec>& datasets);

/// Reads every `/spectrum/NAME`. Leaves out arrays of inconsistent shapes and notes them.
std::vector<GroupSpectrum> read_spectra(TolerantReader& reader, const std::vector<experiments::DatasetSpec>& datasets);

/// Reads `/anatomy` if its datasets exist and their shapes are consistent.
std::optional<Anatomy> read_anatomy(TolerantReader& reader, const std::vector<experiments::DatasetSpec>& datasets);

}  // namespace hessian::analysis
