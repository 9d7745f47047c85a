#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <span>

#include "models/mapped_file.h"
#include "models/stored_type.h"

namespace models {

at::ScalarType to_scalar_type(StoredType type);

/// A tensor over the bytes of a mapped file from `begin` on, keeping the file alive; a copy where they are not aligned.
/// The caller has checked that every element lies inside the file.
at::Tensor tensor_over(const std::shared_ptr<const MappedFile>& file, std::uint64_t begin, StoredType type,
                       std::span<const std::int64_t> shape, std::span<const std::int64_t> strides);

}  // namespace models
