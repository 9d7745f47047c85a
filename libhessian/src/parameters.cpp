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

}  // namespace hessian
