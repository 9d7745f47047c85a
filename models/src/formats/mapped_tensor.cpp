#include "formats/mapped_tensor.h"

#include <ATen/ATen.h>
#include <c10/core/Allocator.h>

#include <cstring>

namespace hessian::models {
namespace {

/// Context of the storage of a tensor over a file.
using FileHandle = std::shared_ptr<const MappedFile>;

void drop_handle(void* handle) {
  delete static_cast<FileHandle*>(handle);
}

/// Reports memory to the profiler as an allocator does.
void report(const MappedRange& range, int64_t bytes) {
  if (range.file && c10::memoryProfilingEnabled()) {
    c10::reportMemoryUsageToProfiler(range.file->writable_bytes().data() + range.begin, bytes, 0, 0, at::kCPU);
  }
}

}  // namespace

at::ScalarType to_scalar_type(StoredType type) {
  switch (type) {
    case StoredType::f64:
      return at::kDouble;
    case StoredType::f32:
      return at::kFloat;
    case StoredType::f16:
      return at::kHalf;
    case StoredType::bf16:
      return at::kBFloat16;
    case StoredType::i64:
      return at::kLong;
    case StoredType::i32:
      return at::kInt;
    case StoredType::i16:
      return at::kShort;
    case StoredType::i8:
      return at::kChar;
    case StoredType::u8:
      return at::kByte;
    case StoredType::boolean:
      return at::kBool;
    case StoredType::c64:
      return at::kComplexFloat;
  }
  return at::kFloat;
}

at::Tensor tensor_over(const std::shared_ptr<const MappedFile>& file, std::uint64_t begin, StoredType type,
                       std::span<const std::int64_t> shape, std::span<const std::int64_t> strides) {
  const at::IntArrayRef sizes(shape.data(), shape.size());
  const at::IntArrayRef steps(strides.data(), strides.size());
  std::int64_t extent = 1;
  for (std::size_t axis = 0; axis < shape.size(); ++axis) {
    if (shape[axis] == 0) {
      return at::empty(sizes, to_scalar_type(type));
    }
    extent += (shape[axis] - 1) * strides[axis];
  }
  std::byte* data = file->writable_bytes().data() + begin;
  if (reinterpret_cast<std::uintptr_t>(data) % size_bytes(type) != 0) {
    const at::Tensor storage = at::empty({extent}, to_scalar_type(type));
    std::memcpy(storage.data_ptr(), data, static_cast<std::size_t>(extent) * size_bytes(type));
    return storage.as_strided(sizes, steps);
  }
  return at::for_blob(data, sizes)
      .strides(steps)
      .context(new FileHandle(file), &drop_handle)
      .options(at::dtype(to_scalar_type(type)))
      .make_tensor();
}

MappedRange mapped_range(const at::Tensor& tensor) {
  if (!tensor.has_storage() || tensor.numel() == 0) {
    return {};
  }
  const c10::DataPtr& memory = tensor.storage().data_ptr();
  if (memory.get_deleter() != &drop_handle) {
    return {};
  }
  int64_t extent = 1;
  for (int64_t axis = 0; axis < tensor.dim(); ++axis) {
    extent += (tensor.size(axis) - 1) * tensor.stride(axis);
  }
  const FileHandle& file = *static_cast<const FileHandle*>(memory.get_context());
  const auto begin = static_cast<const std::byte*>(tensor.const_data_ptr()) - file->bytes().data();
  return {file, static_cast<std::size_t>(begin), static_cast<std::size_t>(extent) * tensor.element_size()};
}

PagesInUse::PagesInUse(const at::Tensor& tensor) : range_(mapped_range(tensor)) {
  if (range_.file) {
    range_.file->expect(range_.begin, range_.size);
    report(range_, static_cast<int64_t>(range_.size));
  }
}

PagesInUse::~PagesInUse() {
  if (range_.file) {
    range_.file->release(range_.begin, range_.size);
    report(range_, -static_cast<int64_t>(range_.size));
  }
}

}  // namespace hessian::models
