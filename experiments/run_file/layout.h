#pragma once

// What a run file's objects look like in HDF5; shared by writer and reader.

#include <span>
#include <string>
#include <vector>

#include "hessian/run_file.h"
#include "run_file/hdf5_handle.h"

namespace hessian::experiments {

inline constexpr const char* format_name = "hessian-run";

/// The longest that a text may be made, so that one always fits into a chunk.
inline constexpr int64_t largest_text_bytes = int64_t{1024} * 1024;

/// The type in memory; its little-endian twin is the type on disk. Texts of `text_bytes` look the same in both.
Hdf5Handle memory_type(ElementType type, int64_t text_bytes);
Hdf5Handle disk_type(ElementType type, int64_t text_bytes);

template <typename T>
inline constexpr ElementType element_type_of = ElementType::float64;
template <>
inline constexpr ElementType element_type_of<int64_t> = ElementType::int64;
template <>
inline constexpr ElementType element_type_of<int32_t> = ElementType::int32;
template <>
inline constexpr ElementType element_type_of<uint8_t> = ElementType::uint8;
template <>
inline constexpr ElementType element_type_of<std::string> = ElementType::text;

/// `[2, 3]`.
std::string to_text(const Shape& shape);

/// Number of elements of a shape; 1 for an empty one.
int64_t element_count(const Shape& shape);

/// Texts one after the other, each padded with NUL bytes to `text_bytes`; messages begin with `what`.
/// \throws std::invalid_argument  if a text is longer or holds a NUL byte
std::string pack_texts(std::span<const std::string> texts, int64_t text_bytes, const std::string& what);

/// Checks paths, shapes and lengths of texts; messages name `file`.
/// \throws std::invalid_argument  if one of them is malformed or two paths are equal
void check_datasets(const std::string& file, const std::vector<DatasetSpec>& datasets);

/// Chunk of a dataset: rows to be appended come in chunks of about 32 KiB (4096 numbers), a dataset of fixed size in
/// one chunk, none above 1 MiB.
std::vector<hsize_t> chunk_shape(const DatasetSpec& dataset);

/// The present time as the attribute `created` gives it.
std::string utc_now();

/// An empty run file at `path` with its groups, datasets and attributes, not yet in SWMR mode. Messages name `shown`.
Hdf5Handle create_laid_out_file(const std::string& path, const std::string& shown, const RunInfo& info,
                                const std::string& created, const std::vector<DatasetSpec>& datasets);

/// A file access property list that works on file systems without locks.
Hdf5Handle file_access();

/// A data space with these extents.
Hdf5Handle simple_space(const Shape& shape, const std::string& shown);

}  // namespace hessian::experiments
