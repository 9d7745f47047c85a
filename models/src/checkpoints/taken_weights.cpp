#include "checkpoints/taken_weights.h"

#include <ATen/ATen.h>

#include <utility>
#include <vector>

#include "formats/mapped_tensor.h"

namespace hessian::models {

/// Converts weights when they are fetched, and keeps no pages of the file in memory between fetches.
class TakenWeights::Source final : public ParameterSource {
 public:
  std::vector<at::Tensor> fetch(const std::vector<std::string>& names,
                                const std::vector<std::string>& /*next*/) override {
    std::vector<at::Tensor> weights;
    for (const std::string& name : names) {
      const auto& [tensor, form] = unformed.at(name);
      const PagesInUse pages(tensor);
      weights.push_back(form(tensor));
    }
    return weights;
  }

  at::Tensor rows(const std::string& table, const at::Tensor& ids) override {
    return at::embedding(fetch({table}, {}).front(), ids);
  }

  std::map<std::string, std::pair<at::Tensor, Form>> unformed;
};

void TakenWeights::add(const std::string& name, const at::Tensor& tensor) {
  parameters_.add(name, tensor);
}

void TakenWeights::add(const std::string& name, const at::Tensor& tensor, at::IntArrayRef shape, Form form) {
  if (access_ == WeightAccess::ready) {
    parameters_.add(name, form(tensor));
    return;
  }
  if (!source_) {
    source_ = std::make_shared<Source>();
  }
  parameters_.add_deferred(name, at::empty(shape, at::device(at::kMeta).dtype(tensor.scalar_type())), source_);
  source_->unformed.emplace(name, std::pair(tensor, std::move(form)));
}

}  // namespace hessian::models
