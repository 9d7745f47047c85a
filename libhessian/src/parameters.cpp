#include "hessian/parameters.h"

#include <stdexcept>

namespace hessian {

void Parameters::add(std::string name, at::Tensor tensor) {
  if (!index_.emplace(name, entries_.size()).second) {
    throw std::invalid_argument("parameter '" + name + "' is given twice");
  }
  entries_.emplace_back(std::move(name), std::move(tensor));
}

const at::Tensor& Parameters::at(const std::string& name) const {
  const auto found = index_.find(name);
  if (found == index_.end()) {
    throw std::out_of_range("there is no parameter '" + name + "'");
  }
  return entries_[found->second].second;
}

Parameters Parameters::to(at::Device device, at::ScalarType dtype) const {
  Parameters converted;
  for (const auto& [name, tensor] : entries_) {
    converted.add(name, tensor.to(device, dtype));
  }
  return converted;
}

Parameters split_like(const at::Tensor& vectors, const Parameters& parameters) {
  std::vector<int64_t> sizes;
  for (const auto& entry : parameters) {
    sizes.push_back(entry.second.numel());
  }
  const std::vector<at::Tensor> pieces = vectors.split_with_sizes(sizes, -1);
  Parameters parts;
  for (const auto& [name, tensor] : parameters) {
    parts.add(name, pieces[parts.size()].unflatten(-1, tensor.sizes()));
  }
  return parts;
}

}  // namespace hessian
