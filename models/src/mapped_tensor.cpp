#include "mapped_tensor.h"

#include <ATen/ATen.h>

#include <cstring>

namespace models {

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
  return at::from_blob(
      data, sizes, steps, [file](void*) {}, at::TensorOptions().dtype(to_scalar_type(type)));
}

}  // namespace models
