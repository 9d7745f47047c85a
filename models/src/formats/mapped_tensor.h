#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <span>

#include "io/mapped_file.h"
#include "io/stored_type.h"

namespace hessian::models {

at::ScalarType to_scalar_type(StoredType type);

/// Returns a tensor over the bytes of a mapped file from `begin` on, which keeps the file alive; a copy if they are not
/// aligned. Precondition: every element lies inside the file.
at::Tensor tensor_over(const std::shared_ptr<const MappedFile>& file, std::uint64_t begin, StoredType type,
                       std::span<const std::int64_t> shape, std::span<const std::int64_t> strides);

/// The bytes of a mapped file that a tensor covers; `file` is null for tensors in other memory.
struct MappedRange {
  std::shared_ptr<const MappedFile> file;
  std::size_t begin = 0;
  std::size_t size = 0;
};
MappedRange mapped_range(const at::Tensor& tensor);

/// Counts the pages under a tensor of a mapped file as allocated memory (see MemoryScope) while it exists: the
/// constructor starts reading them, the destructor releases them. Does nothing for tensors in other memory.
class PagesInUse {
 public:
  explicit PagesInUse(const at::Tensor& tensor);
  ~PagesInUse();
  PagesInUse(const PagesInUse&) = delete;
  PagesInUse& operator=(const PagesInUse&) = delete;

 private:
  MappedRange range_;
};

}  // namespace hessian::models
