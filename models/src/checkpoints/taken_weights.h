#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>

#include "hessian/models/model.h"
#include "hessian/parameters.h"

namespace hessian::models {

/// The weights of a foreign checkpoint under this project's names, each in the form in which the model takes it.
class TakenWeights {
 public:
  /// Makes a weight out of a tensor of the file: a new tensor of its precision.
  using Form = std::function<at::Tensor(const at::Tensor&)>;

  explicit TakenWeights(WeightAccess access) : access_(access) {}

  /// A weight that the file holds as the model takes it: the tensor itself.
  void add(const std::string& name, const at::Tensor& tensor);
  /// A weight that `form` makes out of a tensor: now, or whenever it is fetched.
  /// \param shape  of the weight
  void add(const std::string& name, const at::Tensor& tensor, at::IntArrayRef shape, Form form);

  hessian::Parameters take() { return std::move(parameters_); }

 private:
  class Source;

  WeightAccess access_;
  hessian::Parameters parameters_;
  std::shared_ptr<Source> source_;
};

}  // namespace hessian::models
