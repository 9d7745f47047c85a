#pragma once

// Maps the element types of run files to C++ types and to HDF5 types.

#include <span>
#include <string>

#include "hessian/run_file/dataset_spec.h"
#include "run_file/hdf5_handle.h"

namespace hessian::experiments {

/// Maximum of DatasetSpec::text_bytes, chosen so that one text always fits into a chunk.
inline constexpr int64_t max_text_bytes = int64_t{1024} * 1024;

/// Returns the HDF5 type of an element in memory (memory_type), or its little-endian equivalent on disk (disk_type).
/// Texts of `text_bytes` have the same type in both.
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

/// Concatenates texts, each padded with NUL bytes to `text_bytes`; messages begin with `what`.
/// \throws std::invalid_argument  if a text is longer or contains a NUL byte
std::string pack_texts(std::span<const std::string> texts, int64_t text_bytes, const std::string& what);

}  // namespace hessian::experiments
