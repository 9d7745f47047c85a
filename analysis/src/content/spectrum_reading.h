#pragma once

#include <optional>
#include <vector>

#include "content/spectrum_content.h"
#include "content/tolerant_reader.h"

namespace hessian::analysis {

/// Every `/density/NAME` among the datasets.
std::vector<SpectralDensity> read_densities(TolerantReader& reader,
                                            const std::vector<experiments::DatasetSpec>& datasets);

/// Every `/spectrum/NAME`; arrays that do not fit together are left out and noted.
std::vector<GroupSpectrum> read_spectra(TolerantReader& reader, const std::vector<experiments::DatasetSpec>& datasets);

/// `/anatomy`, if it is there and fits together.
std::optional<Anatomy> read_anatomy(TolerantReader& reader, const std::vector<experiments::DatasetSpec>& datasets);

}  // namespace hessian::analysis
