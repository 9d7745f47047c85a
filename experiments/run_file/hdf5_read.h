#pragma once

// Reads attributes and datasets of an open HDF5 file. Results are empty if the object is absent or of another kind.

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "hessian/run_file/dataset_spec.h"
#include "run_file/hdf5_handle.h"

namespace hessian::experiments {

/// Reads a text attribute, of variable or fixed length (other tools rewrite attributes with a fixed one).
std::optional<std::string> read_text(hid_t object, const char* name);

/// Reads a scalar integer attribute into `value`, converted to the type `memory`. Returns whether that succeeded.
bool read_integer(hid_t object, const char* name, hid_t memory, void* value);

/// Reads all scalar floating-point attributes of an object.
std::map<std::string, double> read_numbers(hid_t object);

/// Returns the element type of a dataset, or nothing if it has none of the five types.
std::optional<ElementType> element_type(hid_t dataset);

/// Returns the fixed length of a dataset's texts; 0 for texts of variable length and for numbers.
int64_t text_bytes_of(hid_t dataset);

/// Reads the `count` selected texts of a dataset and strips their padding. Accepts texts of fixed and of variable
/// length (other tools rewrite datasets with the latter). `memory` is the data space of the result.
std::optional<std::vector<std::string>> read_texts(hid_t dataset, hid_t memory, hid_t selection, size_t count);

std::optional<Shape> shape_of(hid_t dataset);

}  // namespace hessian::experiments
