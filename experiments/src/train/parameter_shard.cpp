#include "train/parameter_shard.h"

#include <c10/core/GradMode.h>

#include <algorithm>
#include <iterator>
#include <stdexcept>
#include <utility>

namespace hessian::experiments {

ParameterShard::ParameterShard(const hessian::Parameters& parameters, ProcessGroup group) : group_(std::move(group)) {
  int64_t length = 0;
  for (const auto& [name, parameter] : parameters) {
    places_.push_back({name, parameter, length, {}});
    length += parameter.numel();
  }
  if (group_.is_alone()) {
    own_ = parameters;
    return;
  }
  part_length_ = (length + group_.size() - 1) / group_.size();
  const int64_t begin = part_length_ * group_.rank();
  for (Place& place : places_) {
    const int64_t numel = place.parameter.numel();
    const int64_t first = std::clamp<int64_t>(begin - place.offset, 0, numel);
    const int64_t end = std::clamp<int64_t>(begin + part_length_ - place.offset, 0, numel);
    place.own = {first, end - first};
    if (place.own.count > 0) {
      own_.add(place.name, slice(place, place.parameter.detach()));
    }
  }
}

std::vector<std::string> ParameterShard::names() const {
  std::vector<std::string> names;
  std::transform(places_.begin(), places_.end(), std::back_inserter(names),
                 [](const Place& place) { return place.name; });
  return names;
}

at::Tensor ParameterShard::slice(const Place& place, const at::Tensor& whole) const {
  const at::Tensor entries = whole.view(-1).narrow(0, place.own.first, place.own.count);
  return whole.dim() >= 2 ? entries.unsqueeze(-1) : entries;
}

const ParameterShard::Place& ParameterShard::place_of(const std::string& parameter) const {
  const auto found = std::find_if(places_.begin(), places_.end(),
                                  [&parameter](const Place& place) { return place.name == parameter; });
  if (found == places_.end()) {
    throw std::out_of_range("there is no parameter '" + parameter + "'");
  }
  return *found;
}

void ParameterShard::reduce_gradients() const {
  if (group_.is_alone()) {
    return;
  }
  const c10::NoGradGuard no_grad;
  const at::Tensor all = at::zeros({part_length_ * group_.size()}, places_.front().parameter.options());
  for (const Place& place : places_) {
    all.narrow(0, place.offset, place.parameter.numel()).copy_(place.parameter.grad().reshape(-1));
    place.parameter.mutable_grad() = at::Tensor();
  }
  const at::Tensor part = group_.sum_of_part(all);
  const int64_t begin = part_length_ * group_.rank();
  for (const Place& place : places_) {
    if (place.own.count > 0) {
      const at::Tensor& own = own_.at(place.name);
      own.mutable_grad() = part.narrow(0, place.offset + place.own.first - begin, place.own.count).view(own.sizes());
    }
  }
}

void ParameterShard::exchange_updates() const {
  if (group_.is_alone()) {
    return;
  }
  const c10::NoGradGuard no_grad;
  const at::Tensor part = at::zeros({part_length_}, places_.front().parameter.options());
  const int64_t begin = part_length_ * group_.rank();
  for (const Place& place : places_) {
    if (place.own.count > 0) {
      part.narrow(0, place.offset + place.own.first - begin, place.own.count).copy_(own_.at(place.name).view(-1));
    }
  }
  const at::Tensor all = group_.gather(part);
  for (const Place& place : places_) {
    place.parameter.view(-1).copy_(all.narrow(0, place.offset, place.parameter.numel()));
  }
}

at::Tensor ParameterShard::whole(const std::string& parameter, const at::Tensor& part) const {
  if (group_.is_alone()) {
    return part;
  }
  const Place& place = place_of(parameter);
  // Every entry is one process's and zero in the others.
  at::Tensor sum = at::zeros_like(place.parameter.detach(), at::MemoryFormat::Contiguous);
  if (part.defined()) {
    slice(place, sum).copy_(part);
  }
  group_.sum(sum);
  return sum;
}

at::Tensor ParameterShard::part_of(const std::string& parameter, const at::Tensor& whole) const {
  return group_.is_alone() ? whole : slice(place_of(parameter), whole.contiguous());
}

}  // namespace hessian::experiments
