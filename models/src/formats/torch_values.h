#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "io/stored_type.h"
#include "pickle/pickle.h"

namespace hessian::models {

// Read the values of PyTorch that occur in pickles: types and sizes.

/// Returns the element type of a storage class, given as "torch FloatStorage".
std::optional<StoredType> type_of_storage_class(std::string_view global);

/// Returns the type of a dtype object, given as "torch float32".
std::optional<StoredType> type_of_dtype(std::string_view global);

/// Reads a non-negative integer.
std::optional<std::int64_t> as_size(const Pickle& pickle, Pickle::NodeId id);

/// Reads a tuple of non-negative integers, or a torch.Size of them.
std::optional<std::vector<std::int64_t>> as_sizes(const Pickle& pickle, Pickle::NodeId id);

}  // namespace hessian::models
