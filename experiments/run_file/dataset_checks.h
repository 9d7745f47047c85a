#pragma once

// Formats shapes of datasets, and checks specifications of datasets.

#include <string>
#include <vector>

#include "hessian/run_file/dataset_spec.h"

namespace hessian::experiments {

/// Formats a shape for a message: `[2, 3]`.
std::string to_text(const Shape& shape);

/// Returns the number of elements of a shape; 1 for an empty one.
int64_t element_count(const Shape& shape);

/// Returns whether rows are appended to a dataset, so that its first dimension grows.
bool is_appended_to(const DatasetSpec& dataset);

/// Checks paths, shapes and text lengths; messages name `file`.
/// \throws std::invalid_argument  if one of them is malformed or two paths are equal
void check_datasets(const std::string& file, const std::vector<DatasetSpec>& datasets);

}  // namespace hessian::experiments
