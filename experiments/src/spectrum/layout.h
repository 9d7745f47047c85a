#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "hessian/run_file.h"
#include "spectrum/spectrum.h"

namespace hessian::experiments {

/// Number of points of a density's grid.
inline constexpr int64_t density_points = 401;

/// A dataset of a run file, and the tensor to store in it.
struct StoredTensor {
  std::string quantity;  ///< last component of the path
  DatasetSpec spec;
  at::Tensor* tensor = nullptr;
};

/// Returns the datasets of a group, as listed in docs/file-format.md, each with the member of `spectrum` that it
/// stores. Requested members that have no value get one, with undefined tensors.
std::vector<StoredTensor> stored_tensors(const SpectrumOptions& options, GroupSpectrum& spectrum);

/// Returns all datasets of a group: those of stored_tensors(), `entries`, the size n of its matrices, and with --adam what
/// the matrix was made with.
std::vector<DatasetSpec> spectrum_datasets(const SpectrumOptions& options, const SpectrumGroup& group);

/// Writes those datasets of a group that are known before its matrices are measured: `entries` and the ones of --adam.
void write_entries(RunFileWriter& writer, const SpectrumOptions& options, const SpectrumGroup& group);

/// Returns the datasets of /anatomy that hold results, each with the member of `anatomy` that is a row of it.
std::vector<StoredTensor> stored_tensors(MapAnatomy& anatomy, int64_t sequences);

/// Returns the datasets of /anatomy: a row per linear map, a column per sequence.
std::vector<DatasetSpec> anatomy_datasets(const std::vector<LayerMap>& maps, int64_t sequences);

/// Writes the datasets of /anatomy that describe the linear maps: name, layer and whether a norm follows.
void write_maps(RunFileWriter& writer, const std::vector<LayerMap>& maps);

/// Returns whether --top also computes the lower end of the spectrum. It does not for positive semidefinite matrices,
/// whose smallest eigenvalues form a cluster at zero.
bool has_lower_end(const SpectrumOptions& options);

/// Writes tensors to their datasets, starting at a row.
void write_tensors(RunFileWriter& writer, const std::vector<StoredTensor>& tensors, int64_t first_row = 0);

}  // namespace hessian::experiments
