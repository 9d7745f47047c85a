#pragma once

// Reads run files through HDF5's own interface, independently of the code under test.

#include <gtest/gtest.h>
#include <hdf5.h>

#include <filesystem>
#include <string>

#include "run_file/hdf5_handle.h"

namespace hessian::tests {

using experiments::Hdf5Handle;

inline Hdf5Handle open_raw(const std::filesystem::path& path) {
  experiments::initialize_hdf5();
  // Without HDF5's locks, like the writer: within one process HDF5 refuses to open a file in both ways at once.
  const Hdf5Handle access(H5Pcreate(H5P_FILE_ACCESS), H5Pclose);
  H5Pset_file_locking(access.get(), false, true);
  Hdf5Handle file(H5Fopen(path.c_str(), H5F_ACC_RDONLY, access.get()), H5Fclose);
  EXPECT_TRUE(file.valid()) << path << ": plain H5Fopen fails: " << experiments::hdf5_error_reason();
  return file;
}

inline std::string raw_text_attribute(hid_t object, const char* name) {
  const Hdf5Handle attribute(H5Aopen(object, name, H5P_DEFAULT), H5Aclose);
  const Hdf5Handle type(H5Aget_type(attribute.get()), H5Tclose);
  if (H5Tis_variable_str(type.get()) <= 0 || H5Tget_cset(type.get()) != H5T_CSET_UTF8) {
    return "(not a UTF-8 string of variable length)";
  }
  char* text = nullptr;
  if (H5Aread(attribute.get(), type.get(), &text) < 0 || text == nullptr) {
    return "(unreadable)";
  }
  std::string value = text;
  H5free_memory(text);
  return value;
}

/// Returns the name of an integer type on disk: `i32`, `u64`, or `?`.
inline std::string raw_integer_type(hid_t object, const char* name) {
  const Hdf5Handle attribute(H5Aopen(object, name, H5P_DEFAULT), H5Aclose);
  const Hdf5Handle type(H5Aget_type(attribute.get()), H5Tclose);
  if (!type.valid() || H5Tget_class(type.get()) != H5T_INTEGER) {
    return "?";
  }
  return (H5Tget_sign(type.get()) == H5T_SGN_2 ? "i" : "u") + std::to_string(8 * H5Tget_size(type.get()));
}

template <typename T>
T raw_integer(hid_t object, const char* name, hid_t memory) {
  const Hdf5Handle attribute(H5Aopen(object, name, H5P_DEFAULT), H5Aclose);
  T value = 0;
  EXPECT_GE(H5Aread(attribute.get(), memory, &value), 0) << name;
  return value;
}

}  // namespace hessian::tests
