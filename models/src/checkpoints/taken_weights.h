#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>

#include "hessian/models/model.h"
#include "hessian/parameters.h"

namespace hessian::models {

/// The weights of a foreign checkpoint under this project's names, in the layout that the model needs.
class TakenWeights {
 public:
  /// Converts a tensor of the file to a weight: returns a new tensor of the same precision.
  using Form = std::function<at::Tensor(const at::Tensor&)>;

  explicit TakenWeights(WeightAccess access) : access_(access) {}

  /// Adds a tensor as it is, as a weight that needs no conversion.
  void add(const std::string& name, const at::Tensor& tensor);
  /// Adds a weight that `form` computes from a tensor: now, or each time the weight is fetched.
  /// \param shape  shape of the weight
  void add(const std::string& name, const at::Tensor& tensor, at::IntArrayRef shape, Form form);

  WeightAccess access() const { return access_; }
  Parameters take() { return std::move(parameters_); }

 private:
  class Source;

  WeightAccess access_;
  Parameters parameters_;
  std::shared_ptr<Source> source_;
};

}  // namespace hessian::models
