#include "train/parameter_shard.h"

#include <c10/core/GradMode.h>

#include <algorithm>
#include <iterator>
#include <stdexcept>
#include <utility>

namespace hessian::experiments {

ParameterShard::ParameterShard(const Parameters& parameters, ProcessGroup group) : group_(std::move(group)) {
  int64_t length = 0;
  for (const auto& [name, parameter] : parameters) {
    ranges_.push_back({name, parameter, length, {}});
    length += parameter.numel();
  }
  if (group_.is_alone()) {
    own_ = parameters;
    return;
  }
  shard_length_ = (length + group_.size() - 1) / group_.size();
  const int64_t begin = shard_length_ * group_.rank();
  for (Range& range : ranges_) {
    const int64_t numel = range.parameter.numel();
    const int64_t first = std::clamp<int64_t>(begin - range.offset, 0, numel);
    const int64_t end = std::clamp<int64_t>(begin + shard_length_ - range.offset, 0, numel);
    range.own = {first, end - first};
    if (range.own.count > 0) {
      own_.add(range.name, slice(range, range.parameter.detach()));
    }
  }
}

std::vector<std::string> ParameterShard::names() const {
  std::vector<std::string> names;
  std::transform(ranges_.begin(), ranges_.end(), std::back_inserter(names),
                 [](const Range& range) { return range.name; });
  return names;
}

at::Tensor ParameterShard::slice(const Range& range, const at::Tensor& whole) const {
  const at::Tensor entries = whole.view(-1).narrow(0, range.own.first, range.own.count);
  return whole.dim() >= 2 ? entries.unsqueeze(-1) : entries;
}

const ParameterShard::Range& ParameterShard::range_of(const std::string& parameter) const {
  const auto found = std::find_if(ranges_.begin(), ranges_.end(),
                                  [&parameter](const Range& range) { return range.name == parameter; });
  if (found == ranges_.end()) {
    throw std::out_of_range("there is no parameter '" + parameter + "'");
  }
  return *found;
}

at::Tensor ParameterShard::piece_of(const at::Tensor& shard, const Range& range) const {
  const int64_t first = range.offset + range.own.first - shard_length_ * group_.rank();
  return shard.narrow(0, first, range.own.count).view(own_.at(range.name).sizes());
}

void ParameterShard::reduce_gradients() const {
  if (group_.is_alone()) {
    return;
  }
  const c10::NoGradGuard no_grad;
  const at::Tensor gradients = at::zeros({shard_length_ * group_.size()}, ranges_.front().parameter.options());
  for (const Range& range : ranges_) {
    gradients.narrow(0, range.offset, range.parameter.numel()).copy_(range.parameter.grad().reshape(-1));
    range.parameter.mutable_grad() = at::Tensor();
  }
  const at::Tensor shard = group_.reduce_scatter(gradients);
  for (const Range& range : ranges_) {
    if (range.own.count > 0) {
      own_.at(range.name).mutable_grad() = piece_of(shard, range);
    }
  }
}

void ParameterShard::gather_updates() const {
  if (group_.is_alone()) {
    return;
  }
  const c10::NoGradGuard no_grad;
  const at::Tensor shard = at::zeros({shard_length_}, ranges_.front().parameter.options());
  for (const Range& range : ranges_) {
    if (range.own.count > 0) {
      piece_of(shard, range).copy_(own_.at(range.name));
    }
  }
  const at::Tensor all = group_.all_gather(shard);
  for (const Range& range : ranges_) {
    range.parameter.view(-1).copy_(all.narrow(0, range.offset, range.parameter.numel()));
  }
}

at::Tensor ParameterShard::assemble(const std::string& parameter, const at::Tensor& piece) const {
  if (group_.is_alone()) {
    return piece;
  }
  const Range& range = range_of(parameter);
  // Each entry is nonzero in at most one process, so that the sum over processes is exact.
  at::Tensor sum = at::zeros_like(range.parameter.detach(), at::MemoryFormat::Contiguous);
  if (piece.defined()) {
    slice(range, sum).copy_(piece);
  }
  group_.all_reduce(sum);
  return sum;
}

at::Tensor ParameterShard::shard_of(const std::string& parameter, const at::Tensor& whole) const {
  return group_.is_alone() ? whole : slice(range_of(parameter), whole.contiguous());
}

}  // namespace hessian::experiments
