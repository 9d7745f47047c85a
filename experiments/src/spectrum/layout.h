#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "hessian/run_file.h"
#include "spectrum/spectrum.h"

namespace hessian::experiments {

/// Number of points of a density's grid.
inline constexpr int64_t density_points = 401;

/// A dataset of a run file, and the tensor that it stores.
struct StoredTensor {
  std::string quantity;  ///< last component of the path
  DatasetSpec spec;
  at::Tensor* tensor = nullptr;
};

/// Returns the datasets of a group, as docs/file-format.md has them, with the members of `spectrum` that they store.
/// Gives those members that the options request a value, if they have none: undefined tensors.
std::vector<StoredTensor> stored_tensors(const SpectrumOptions& options, GroupSpectrum& spectrum);

/// Returns all datasets of a group: those of stored_tensors(), and `entries`, its size.
std::vector<DatasetSpec> spectrum_datasets(const SpectrumOptions& options, const SpectrumGroup& group);

/// Writes a group's `entries`.
void write_entries(RunFileWriter& writer, const SpectrumGroup& group);

/// Returns the datasets of /anatomy that a map has a row in, with the members of `anatomy` that they store.
std::vector<StoredTensor> stored_tensors(MapAnatomy& anatomy, int64_t sequences);

/// Returns the datasets of /anatomy: a row per linear map, a column per sequence.
std::vector<DatasetSpec> anatomy_datasets(const std::vector<LayerMap>& maps, int64_t sequences);

/// Writes layer and name of the linear maps.
void write_maps(RunFileWriter& writer, const std::vector<LayerMap>& maps);

/// Whether --top computes the lower end of the spectrum: not for semidefinite matrices, whose smallest eigenvalues are a
/// cluster at zero.
bool has_lower_end(const SpectrumOptions& options);

/// Writes tensors to their datasets, from a row on.
void write_tensors(RunFileWriter& writer, const std::vector<StoredTensor>& tensors, int64_t first_row = 0);

}  // namespace hessian::experiments
