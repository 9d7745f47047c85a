#pragma once

// What a run file's objects look like in HDF5; shared by writer and reader.

#include <string>
#include <vector>

#include "experiments/hdf5_handle.h"
#include "experiments/run_file.h"

namespace experiments {

inline constexpr const char* format_name = "hessian-run";

/// The type in memory; its little-endian twin is the type on disk.
hid_t memory_type(ElementType type);
hid_t disk_type(ElementType type);

template <typename T>
inline constexpr ElementType element_type_of = ElementType::float64;
template <>
inline constexpr ElementType element_type_of<int64_t> = ElementType::int64;
template <>
inline constexpr ElementType element_type_of<int32_t> = ElementType::int32;
template <>
inline constexpr ElementType element_type_of<uint8_t> = ElementType::uint8;

/// `[2, 3]`.
std::string to_text(const Shape& shape);

/// Number of elements of a shape; 1 for an empty one.
int64_t element_count(const Shape& shape);

/// Checks paths and shapes; messages name `file`.
/// \throws std::invalid_argument  if a path or a shape is malformed or two paths are equal
void check_datasets(const std::string& file, const std::vector<DatasetSpec>& datasets);

/// Chunk of a dataset: rows to be appended come in chunks of about 32 KiB (4096 numbers), a dataset of fixed size in
/// one chunk, none above 1 MiB.
std::vector<hsize_t> chunk_shape(const DatasetSpec& dataset);

/// An empty run file at `path` with its groups, datasets and attributes, not yet in SWMR mode. Messages name `shown`.
Hdf5Handle create_laid_out_file(const std::string& path, const std::string& shown, const RunInfo& info,
                                const std::vector<DatasetSpec>& datasets);

/// A file access property list that works on file systems without locks.
Hdf5Handle file_access();

/// A data space with these extents.
Hdf5Handle simple_space(const Shape& shape, const std::string& shown);

}  // namespace experiments
