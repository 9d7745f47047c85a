#include "train/update_rms.h"

#include <algorithm>
#include <cmath>

namespace hessian::experiments {

std::string tensor_group(const std::string& parameter) {
  const std::string prefix = "layers.";
  if (!parameter.starts_with(prefix)) {
    return parameter;
  }
  return parameter.substr(parameter.find('.', prefix.size()) + 1);
}

UpdateRms::UpdateRms(const Parameters& parameters) {
  for (const auto& [name, parameter] : parameters) {
    const std::string group = tensor_group(name);
    const auto found = std::find(groups_.begin(), groups_.end(), group);
    members_.push_back({parameter.detach(), static_cast<std::size_t>(found - groups_.begin())});
    if (found == groups_.end()) {
      groups_.push_back(group);
    }
  }
}

void UpdateRms::remember() {
  remembered_.clear();
  for (const Member& member : members_) {
    remembered_.push_back(member.parameter.clone());
  }
}

UpdateRms::Values UpdateRms::measure() {
  std::vector<double> counts(groups_.size(), 0);
  Values values{counts, counts};
  const auto sum_of_squares = [](const at::Tensor& x) {
    const auto norm = x.norm().item<double>();
    return norm * norm;
  };
  for (std::size_t i = 0; i < members_.size(); ++i) {
    const std::size_t group = members_[i].group;
    values.update[group] += sum_of_squares(members_[i].parameter - remembered_[i]);
    values.parameter[group] += sum_of_squares(remembered_[i]);
    counts[group] += static_cast<double>(remembered_[i].numel());
  }
  for (std::size_t group = 0; group < groups_.size(); ++group) {
    values.update[group] = std::sqrt(values.update[group] / counts[group]);
    values.parameter[group] = std::sqrt(values.parameter[group] / counts[group]);
  }
  remembered_.clear();
  return values;
}

}  // namespace hessian::experiments
