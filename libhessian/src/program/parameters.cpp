#include "hessian/parameters.h"

#include <map>
#include <stdexcept>

namespace hessian {

void Parameters::add(std::string name, at::Tensor tensor) {
  if (!index_.emplace(name, entries_.size()).second) {
    throw std::invalid_argument("parameter '" + name + "' is given twice");
  }
  entries_.emplace_back(std::move(name), std::move(tensor));
}

void Parameters::add_deferred(std::string name, at::Tensor like, std::shared_ptr<ParameterSource> source) {
  if (!like.is_meta()) {
    throw std::invalid_argument("parameter '" + name + "' is deferred: its shape is given on the meta device, not on " +
                                like.device().str());
  }
  add(name, std::move(like));
  sources_.emplace(std::move(name), std::move(source));
}

void Parameters::add_from(const Parameters& other, const std::string& name) {
  if (const auto found = other.sources_.find(name); found != other.sources_.end()) {
    add_deferred(name, other.shape_of(name), found->second);
  } else {
    add(name, other.shape_of(name));
  }
}

const at::Tensor& Parameters::at(const std::string& name) const {
  if (is_deferred(name)) {
    throw std::logic_error("parameter '" + name + "' is deferred and has not been fetched");
  }
  return shape_of(name);
}

const at::Tensor& Parameters::shape_of(const std::string& name) const {
  const auto found = index_.find(name);
  if (found == index_.end()) {
    throw std::out_of_range("there is no parameter '" + name + "'");
  }
  return entries_[found->second].second;
}

Parameters Parameters::fetched(const std::vector<std::string>& names, const std::vector<std::string>& next) const {
  struct Request {
    std::vector<std::string> names;
    std::vector<std::string> next;
  };
  // Collects one request per source; usually there is only one.
  std::map<ParameterSource*, Request> requests;
  for (const std::string& name : names) {
    if (const auto found = sources_.find(name); found != sources_.end()) {
      requests[found->second.get()].names.push_back(name);
    }
  }
  for (const std::string& name : next) {
    if (const auto found = sources_.find(name); found != sources_.end()) {
      requests[found->second.get()].next.push_back(name);
    }
  }
  std::unordered_map<std::string, at::Tensor> loaded;
  for (const auto& [source, request] : requests) {
    if (!request.names.empty()) {
      const std::vector<at::Tensor> tensors = source->fetch(request.names, request.next);
      for (std::size_t i = 0; i < tensors.size(); ++i) {
        loaded.emplace(request.names[i], tensors[i]);
      }
    }
  }
  Parameters result;
  for (const std::string& name : names) {
    if (!result.contains(name)) {
      result.add(name, is_deferred(name) ? loaded.at(name) : at(name));
    }
  }
  return result;
}

at::Tensor Parameters::rows(const std::string& table, const at::Tensor& ids) const {
  const auto found = sources_.find(table);
  return found == sources_.end() ? at::embedding(at(table), ids) : found->second->rows(table, ids);
}

Parameters Parameters::detached() const {
  Parameters constants;
  for (const auto& [name, tensor] : *this) {
    constants.add(name, tensor.detach());
  }
  return constants;
}

Parameters Parameters::to(at::Device device, at::ScalarType dtype) const {
  Parameters converted;
  for (const auto& [name, tensor] : entries_) {
    converted.add(name, is_deferred(name) ? fetched({name}).at(name).to(device, dtype) : tensor.to(device, dtype));
  }
  return converted;
}

Parameters split_like(const at::Tensor& vectors, const Parameters& parameters) {
  std::vector<int64_t> sizes;
  for (const auto& entry : parameters) {
    sizes.push_back(entry.second.numel());
  }
  const std::vector<at::Tensor> pieces = vectors.split_with_sizes(sizes, -1);
  Parameters split;
  for (const auto& [name, tensor] : parameters) {
    split.add(name, pieces[split.size()].unflatten(-1, tensor.sizes()));
  }
  return split;
}

}  // namespace hessian
