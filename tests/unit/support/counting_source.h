#pragma once

#include <ATen/ATen.h>

#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "hessian/parameters.h"

namespace hessian::support {

/// Gives copies of parameters, and notes what it was asked for and how many bytes of its copies were alive at once.
class CountingSource final : public hessian::ParameterSource {
 public:
  explicit CountingSource(hessian::Parameters parameters) : parameters_(std::move(parameters)) {}

  std::vector<at::Tensor> fetch(const std::vector<std::string>& names, const std::vector<std::string>& next) override {
    fetched.push_back(names);
    announced.push_back(next);
    std::vector<at::Tensor> copies;
    for (const std::string& name : names) {
      copies.push_back(parameters_.at(name).clone());
      given_.emplace_back(copies.back().getIntrusivePtr());
    }
    std::erase_if(given_, [](const auto& copy) { return copy.expired(); });
    int64_t alive = 0;
    for (const auto& copy : given_) {
      alive += static_cast<int64_t>(at::Tensor(copy.lock()).nbytes());
    }
    most_bytes = std::max(most_bytes, alive);
    return copies;
  }

  at::Tensor rows(const std::string& table, const at::Tensor& ids) override {
    rows_read.push_back(table);
    return at::embedding(parameters_.at(table), ids);
  }

  std::vector<std::vector<std::string>> fetched;
  std::vector<std::vector<std::string>> announced;
  std::vector<std::string> rows_read;
  int64_t most_bytes = 0;

 private:
  hessian::Parameters parameters_;
  std::vector<c10::weak_intrusive_ptr<c10::TensorImpl, c10::UndefinedTensorImpl>> given_;
};

/// The same parameters, every one deferred.
inline hessian::Parameters deferred(const hessian::Parameters& parameters,
                                    const std::shared_ptr<hessian::ParameterSource>& source) {
  hessian::Parameters result;
  for (const auto& [name, tensor] : parameters) {
    result.add_deferred(name, at::empty_like(tensor, tensor.options().device(at::kMeta)), source);
  }
  return result;
}

}  // namespace hessian::support
