#pragma once

// Opens HDF5 files, and creates run files with their attributes and datasets.

#include <string>
#include <vector>

#include "hessian/run_file/dataset_spec.h"
#include "hessian/run_file/run_info.h"
#include "run_file/hdf5_handle.h"

namespace hessian::experiments {

inline constexpr const char* format_name = "hessian-run";

/// Returns the current time in the format of the attribute `created`.
std::string utc_now();

/// Creates a run file with its groups, datasets and attributes, not yet in SWMR mode.
/// \param shown  name of the file in messages
Hdf5Handle create_laid_out_file(const std::string& path, const std::string& shown, const RunInfo& info,
                                const std::string& created, const std::vector<DatasetSpec>& datasets);

/// Returns a file access property list without HDF5's file locks. All files must be opened with it, because HDF5
/// refuses to open a file twice with different settings.
Hdf5Handle file_access();

/// Creates a data space with the extents of a shape.
Hdf5Handle simple_space(const Shape& shape, const std::string& shown);

}  // namespace hessian::experiments
