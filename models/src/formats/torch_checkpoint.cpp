#include "formats/torch_checkpoint.h"

#include <utility>

#include "formats/mapped_tensor.h"
#include "io/messages.h"

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

Parameters TorchCheckpoint::state_dict(Pickle::NodeId id) const {
  if (!values().is_dict(id)) {
    fail(file_->path(), "the state dict is {}, expected a dict", describe(values(), id));
  }
  Parameters tensors;
  const auto& entries = values()[id].entries;
  for (std::size_t i = 0; i + 1 < entries.size(); i += 2) {
    const auto& key = values()[entries[i]];
    if (key.kind != Pickle::Kind::string) {
      fail(file_->path(), "a key of the state dict is {}, expected a string", describe(values(), entries[i]));
    }
    if (!archive_.is_tensor(entries[i + 1])) {
      continue;
    }
    if (tensors.contains(key.text)) {
      fail(file_->path(), "tensor {} is given twice", name_text(key.text));
    }
    tensors.add(key.text, tensor(entries[i + 1], key.text));
  }
  return tensors;
}

}  // namespace hessian::models
