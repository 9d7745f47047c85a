#include "checkpoints/named_tensors.h"

#include <ATen/ATen.h>

#include "formats/mapped_tensor.h"
#include "io/messages.h"

namespace hessian::models {

void NamedTensors::add(const std::string& key, const std::string& full_name, const std::string& file,
                       const at::Tensor& tensor) {
  const auto [place, fresh] = items_.try_emplace(key, Item{full_name, file, tensor});
  if (!fresh) {
    fail(file, "tensors {} and {} are one and the same", name_text(place->second.full_name), name_text(full_name));
  }
}

at::Tensor NamedTensors::take(const std::string& key, const std::vector<std::int64_t>& shape) {
  const auto found = items_.find(key);
  if (found == items_.end()) {
    fail(source_, "tensor {} {} is absent", name_text(key), shape_text(shape));
  }
  const Item item = std::move(found->second);
  items_.erase(found);
  if (item.tensor.sizes() != at::IntArrayRef(shape)) {
    fail(item.file, "tensor {} is {}, expected {}", name_text(item.full_name), shape_text(item.tensor.sizes()),
         shape_text(shape));
  }
  if (!item.tensor.is_floating_point()) {
    fail(item.file, "tensor {} holds {}, expected floating-point numbers", name_text(item.full_name),
         c10::toString(item.tensor.scalar_type()));
  }
  return item.tensor;
}

void NamedTensors::drop_tied(const std::string& key, const at::Tensor& original) {
  const auto found = items_.find(key);
  if (found == items_.end()) {
    return;
  }
  const std::string full_name = found->second.full_name;
  const std::string file = found->second.file;
  const at::Tensor tied = take(key, original.sizes().vec());
  const PagesInUse pages(tied);
  const PagesInUse original_pages(original);
  const bool same_memory = tied.data_ptr() == original.data_ptr() && tied.strides() == original.strides();
  if (!same_memory && (tied.scalar_type() != original.scalar_type() || !tied.equal(original))) {
    fail(file, "tensor {} differs from the token embedding, to which it should be tied", name_text(full_name));
  }
}

void NamedTensors::refuse_rest() const {
  if (!items_.empty()) {
    const Item& item = items_.begin()->second;
    fail(item.file, "tensor {} {} is not part of this architecture", name_text(item.full_name),
         shape_text(item.tensor.sizes()));
  }
}

}  // namespace hessian::models
