#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <span>

#include "hessian/models/mapped_file.h"
#include "io/stored_type.h"

namespace hessian::models {

at::ScalarType to_scalar_type(StoredType type);

/// A tensor over the bytes of a mapped file from `begin` on, keeping the file alive; a copy where they are not aligned.
/// The caller has checked that every element lies inside the file.
at::Tensor tensor_over(const std::shared_ptr<const MappedFile>& file, std::uint64_t begin, StoredType type,
                       std::span<const std::int64_t> shape, std::span<const std::int64_t> strides);

/// The bytes of a mapped file that a tensor lies over; none where it lies elsewhere.
struct MappedRange {
  std::shared_ptr<const MappedFile> file;
  std::size_t begin = 0;
  std::size_t size = 0;
};
MappedRange mapped_range(const at::Tensor& tensor);

/// While it lives, the pages under a tensor are expected to be read, and count as memory as an allocation does (see
/// hessian::MemoryScope); then they are given back. Does nothing for tensors that lie over no mapped file.
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
