#pragma once

// What attributes and datasets of an open HDF5 file hold; nothing where they are absent or of another kind.

#include <optional>
#include <string>
#include <vector>

#include "hessian/run_file.h"
#include "run_file/hdf5_handle.h"

namespace hessian::experiments {

/// A text attribute of either kind of HDF5 string, because other tools rewrite attributes with a fixed length.
std::optional<std::string> read_text(hid_t object, const char* name);

/// A scalar integer attribute, converted to the type in memory that `value` points to. Returns whether that succeeded.
bool read_integer(hid_t object, const char* name, hid_t memory, void* value);

/// The element type of a dataset, if it is one of the five.
std::optional<ElementType> element_type(hid_t dataset);

/// The length of a dataset's texts; 0 if they have none in common or it holds numbers.
int64_t text_bytes_of(hid_t dataset);

/// The `count` texts of a selection of a dataset, without their padding, put in order as `memory` says. Either kind of
/// HDF5 string, because other tools rewrite datasets with variable length.
std::optional<std::vector<std::string>> read_texts(hid_t dataset, hid_t memory, hid_t selection, size_t count);

std::optional<Shape> shape_of(hid_t dataset);

}  // namespace hessian::experiments
