#include "hessian/hessian_of.h"

#include <c10/core/GradMode.h>

#include <algorithm>
#include <sstream>
#include <stdexcept>
#include <string>
#include <utility>

#include "curvature/double_backward.h"

namespace hessian {
namespace {

int64_t entries_of(const std::vector<at::Tensor>& tensors) {
  int64_t entries = 0;
  for (const at::Tensor& tensor : tensors) {
    entries += tensor.numel();
  }
  return entries;
}

std::string description(const at::Tensor& tensor) {
  std::ostringstream text;
  text << tensor.scalar_type() << " " << tensor.sizes() << " on " << tensor.device();
  return text.str();
}

void check_tensors(const std::vector<at::Tensor>& tensors) {
  if (tensors.empty()) {
    throw std::invalid_argument("hessian_of() expects at least one tensor to differentiate with respect to");
  }
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    const std::string name = "tensor " + std::to_string(i) + " of hessian_of()";
    const at::Tensor& tensor = tensors[i];
    if (!tensor.defined()) {
      throw std::invalid_argument(name + " is undefined");
    }
    if (!tensor.is_floating_point()) {
      throw std::invalid_argument(name + " is " + description(tensor) + ", expected a real floating-point type");
    }
    const at::Tensor& first = tensors.front();
    if (tensor.scalar_type() != first.scalar_type() || tensor.device() != first.device()) {
      throw std::invalid_argument(name + " is " + description(tensor) + ", tensor 0 is " + description(first) +
                                  "; expected one precision and device");
    }
    if (!tensor.requires_grad()) {
      throw std::invalid_argument(name + " is " + description(tensor) +
                                  " without requires_grad, expected a tensor that requires gradients");
    }
    for (std::size_t j = 0; j < i; ++j) {
      if (tensors[j].is_same(tensor)) {
        throw std::invalid_argument("tensors " + std::to_string(j) + " and " + std::to_string(i) +
                                    " of hessian_of() are the same, expected each once");
      }
    }
  }
  if (entries_of(tensors) == 0) {
    throw std::invalid_argument("the tensors of hessian_of() have no entries");
  }
}

void check_value(const at::Tensor& value) {
  if (!value.defined()) {
    throw std::invalid_argument("the function of hessian_of() returns an undefined tensor, expected a scalar");
  }
  if (value.numel() != 1 || !value.is_floating_point()) {
    throw std::invalid_argument("the function of hessian_of() returns " + description(value) +
                                ", expected one floating-point number");
  }
  if (!value.requires_grad()) {
    throw std::invalid_argument(
        "the result of the function of hessian_of() has no graph, expected one that depends on the tensors and is "
        "computed without NoGradGuard or detach()");
  }
}

/// Replaces undefined tensors by zeros.
std::vector<at::Tensor> defined(std::vector<at::Tensor> tensors, const std::vector<at::Tensor>& like) {
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    if (!tensors[i].defined()) {
      tensors[i] = at::zeros_like(like[i]);
    }
  }
  return tensors;
}

}  // namespace

struct HessianOf::Graph {
  std::vector<at::Tensor> tensors;
  at::Tensor value;                   // detached
  std::vector<at::Tensor> gradients;  // with their graph; undefined for tensors that f does not depend on
  int64_t entries = 0;
};

HessianOf hessian_of(const std::function<at::Tensor()>& f, std::vector<at::Tensor> tensors) {
  check_tensors(tensors);
  const c10::AutoGradMode recording_on(true);
  const at::Tensor value = f();
  check_value(value);
  auto graph = std::make_shared<HessianOf::Graph>();
  graph->gradients = gradients_of(value, tensors, /*keep_graph=*/true);
  if (std::none_of(graph->gradients.begin(), graph->gradients.end(), [](const auto& g) { return g.defined(); })) {
    throw std::invalid_argument("the result of the function of hessian_of() depends on none of its " +
                                std::to_string(tensors.size()) + " tensors");
  }
  graph->value = value.detach().reshape({});
  graph->entries = entries_of(tensors);
  graph->tensors = std::move(tensors);
  return HessianOf(std::move(graph));
}

HessianOf hessian_of(const std::function<at::Tensor()>& f, const at::Tensor& tensor) {
  return hessian_of(f, std::vector<at::Tensor>{tensor});
}

int64_t HessianOf::dim() const {
  return graph_->entries;
}

at::TensorOptions HessianOf::vector_options() const {
  const at::Tensor& first = graph_->tensors.front();
  return at::device(first.device()).dtype(first.dtype());
}

at::Tensor HessianOf::value() const {
  return graph_->value;
}

at::Tensor HessianOf::gradient() const {
  return concatenated(defined(graph_->gradients, graph_->tensors)).detach();
}

std::vector<at::Tensor> HessianOf::split(const at::Tensor& flat) const {
  return split_like(flat, graph_->tensors);
}

at::Tensor HessianOf::do_apply(const at::Tensor& v, const ProblemIndices& /*problems*/) const {
  at::Tensor result = at::empty(v.sizes(), v.options());
  for (int64_t j = 0; j < v.size(1) && v.size(0) > 0; ++j) {
    const auto product = hessian_product(graph_->gradients, graph_->tensors, split(v[0][j]));
    result[0][j].copy_(concatenated(defined(product, graph_->tensors)));
  }
  return result;
}

at::Tensor concatenated(const std::vector<at::Tensor>& tensors) {
  std::vector<at::Tensor> flat;
  for (const at::Tensor& tensor : tensors) {
    flat.push_back(tensor.reshape({-1}));
  }
  return at::cat(flat);
}

std::vector<at::Tensor> split_like(const at::Tensor& flat, const std::vector<at::Tensor>& tensors) {
  const int64_t entries = entries_of(tensors);
  if (flat.dim() < 1 || flat.size(-1) != entries) {
    std::ostringstream message;
    message << "flat vectors are " << flat.sizes() << ", expected [..., " << entries << "]";
    throw std::invalid_argument(message.str());
  }
  std::vector<at::Tensor> pieces;
  int64_t first = 0;
  for (const at::Tensor& tensor : tensors) {
    auto shape = flat.sizes().vec();
    shape.pop_back();
    shape.insert(shape.end(), tensor.sizes().begin(), tensor.sizes().end());
    pieces.push_back(flat.narrow(-1, first, tensor.numel()).reshape(shape));
    first += tensor.numel();
  }
  return pieces;
}

}  // namespace hessian
