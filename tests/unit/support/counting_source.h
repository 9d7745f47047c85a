#pragma once

#include <ATen/ATen.h>

#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "hessian/parameters.h"

namespace hessian::support {

/// Returns copies of parameters, and records the requests and the maximum number of bytes of its copies alive at once.
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
    max_bytes = std::max(max_bytes, alive);
    return copies;
  }

  at::Tensor rows(const std::string& table, const at::Tensor& ids) override {
    rows_read.push_back(table);
    return at::embedding(parameters_.at(table), ids);
  }

  std::vector<std::vector<std::string>> fetched;
  std::vector<std::vector<std::string>> announced;
  std::vector<std::string> rows_read;
  int64_t max_bytes = 0;

 private:
  hessian::Parameters parameters_;
  std::vector<c10::weak_intrusive_ptr<c10::TensorImpl, c10::UndefinedTensorImpl>> given_;
};

/// Returns the same parameters, all deferred.
inline hessian::Parameters deferred(const hessian::Parameters& parameters,
                                    const std::shared_ptr<hessian::ParameterSource>& source) {
  hessian::Parameters result;
  for (const auto& [name, tensor] : parameters) {
    result.add_deferred(name, at::empty_like(tensor, tensor.options().device(at::kMeta)), source);
  }
  return result;
}

}  // namespace hessian::support
