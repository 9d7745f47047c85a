#include "formats/torch_checkpoint.h"

#include <ATen/ATen.h>

#include <utility>

#include "formats/mapped_tensor.h"
#include "pickle/pickle_numbers.h"

namespace hessian::models {

TorchCheckpoint::TorchCheckpoint(std::shared_ptr<const MappedFile> file)
    : file_(std::move(file)), archive_(file_->bytes(), file_->path()) {}

TorchCheckpoint TorchCheckpoint::open(const std::string& path) {
  return TorchCheckpoint(MappedFile::open(path));
}

at::Tensor TorchCheckpoint::tensor(Pickle::NodeId id, const std::string& name) const {
  const ArchivedTensor place = archive_.tensor(id, name);
  return tensor_over(file_, place.begin, place.type, place.shape, place.strides);
}

std::optional<at::Scalar> TorchCheckpoint::single_element(Pickle::NodeId id) const {
  if (!archive_.is_tensor(id)) {
    return std::nullopt;
  }
  const at::Tensor number = tensor(id, "of one number");
  return number.numel() == 1 && !number.is_complex() ? std::optional(number.item()) : std::nullopt;
}

std::optional<std::int64_t> TorchCheckpoint::integer(Pickle::NodeId id) const {
  const auto element = single_element(id);
  if (!element) {
    return as_integer(values(), id);
  }
  if (element->isFloatingPoint()) {
    return exact_integer(element->toDouble());
  }
  return element->isIntegral(/*includeBool=*/false) ? std::optional(element->toLong()) : std::nullopt;
}

std::optional<double> TorchCheckpoint::real(Pickle::NodeId id) const {
  const auto element = single_element(id);
  return !element || element->isBoolean() ? as_real(values(), id) : std::optional(element->toDouble());
}

std::optional<bool> TorchCheckpoint::boolean(Pickle::NodeId id) const {
  const auto element = single_element(id);
  return !element || !element->isBoolean() ? as_boolean(values(), id) : std::optional(element->toBool());
}

Parameters TorchCheckpoint::state_dict(Pickle::NodeId id) const {
  Parameters tensors;
  for (const auto& [name, place] : archive_.state_dict(id)) {
    tensors.add(name, tensor_over(file_, place.begin, place.type, place.shape, place.strides));
  }
  return tensors;
}

}  // namespace hessian::models
