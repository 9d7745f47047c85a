#pragma once

#include <string>
#include <vector>

#include "hessian/run_file.h"
#include "spectrum/spectrum.h"

namespace hessian::experiments {

/// `/spectrum/GROUP/QUANTITY` and `/density/GROUP/QUANTITY`.
std::string spectrum_path(const SpectrumGroup& group, const std::string& quantity);
std::string density_path(const SpectrumGroup& group, const std::string& quantity);
/// `/anatomy/QUANTITY`.
std::string anatomy_path(const std::string& quantity);

/// Points of a density's grid.
inline constexpr int64_t density_points = 401;

/// The datasets of one group, as docs/file-format.md has them.
std::vector<DatasetSpec> spectrum_datasets(const SpectrumOptions& options, const SpectrumGroup& group);

/// The datasets of /anatomy: a row for each of `maps` linear maps, a column for each sequence.
std::vector<DatasetSpec> anatomy_datasets(int64_t maps, int64_t sequences, int64_t name_bytes);

/// The ends of the spectrum that --top finds: `upper` and `lower`, or of semidefinite matrices, whose lower end is a crowd of
/// zeros, `upper` alone.
std::vector<std::string> ends_of(const SpectrumOptions& options);

/// Unit of a matrix's eigenvalues.
std::string units_of(const SpectrumOptions& options);

/// Writes numbers into datasets, whatever their type is: into whole ones, or from a row on.
/// \param specs  with the shape of what is written
void write_numbers(RunFileWriter& writer, const std::vector<DatasetSpec>& specs, const Numbers& numbers,
                   int64_t first_row = 0);

}  // namespace hessian::experiments
