#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "hessian/linear_operator.h"

namespace hessian {

/// The Hessian d2f / dw2 of a differentiable scalar f with respect to tensors w, such as the parameters of a
/// torch::nn::Module: an operator of one problem on the concatenated entries of all tensors, in their order, row-major.
///
/// Made by hessian_of(). Copies are cheap and share the recorded graph. The operator is valid at the values that the
/// tensors had when it was made: after they have changed (an optimizer's step), make a new one.
///
/// Products are reverse over reverse: f and its gradient are evaluated once, their graph is kept, and each product
/// differentiates <gradient, v>. Every operation of f therefore needs a backward that is itself differentiable.
/// LibTorch's fused attention has none: use the math path of scaled_dot_product_attention
/// (at::_scaled_dot_product_attention_math) or write attention with matmul and softmax.
///
/// Not safe for use from two threads at once: products share the graph.
/// Cost: a product is about 1.5 to 2.5 gradients; k vectors are k products. Memory: the graph of f and of its gradient.
/// Source: Pearlmutter (1994), Fast exact multiplication by the Hessian.
class HessianOf final : public LinearOperator {
 public:
  int64_t problems() const override { return 1; }
  int64_t dim() const override;
  at::TensorOptions vector_options() const override;

  /// Returns f, a detached scalar.
  at::Tensor value() const;
  /// Returns the gradient df/dw, detached, [n].
  at::Tensor gradient() const;
  /// Splits flat vectors [..., n], such as an eigenvector, into tensors shaped like w: [..., shape of each].
  /// \throws std::invalid_argument  if the last dimension is not n
  std::vector<at::Tensor> split(const at::Tensor& flat) const;

 private:
  friend HessianOf hessian_of(const std::function<at::Tensor()>& f, std::vector<at::Tensor> tensors);

  struct Graph;
  explicit HessianOf(std::shared_ptr<const Graph> graph) : graph_(std::move(graph)) {}
  at::Tensor do_apply(const at::Tensor& v, const ProblemIndices& problems) const override;

  std::shared_ptr<const Graph> graph_;
};

/// Makes the Hessian of a closure's result with respect to tensors, as an operator for largest_eigenpair(), lanczos(),
/// hutchinson_trace(), spectral_quadrature() and everything else that takes one:
///
///     const auto H = hessian_of([&] { return torch::mse_loss(net->forward(x), y); }, net->parameters());
///     const auto top = largest_eigenpair(H, {.tolerance = 1e-4});
///
/// See examples/any_model.cpp. The closure is called once, with autograd recording. Tensors that its result does not depend on
/// have zero rows and columns.
///
/// \param f        returns a scalar (one entry) with a graph
/// \param tensors  w: floating point, of one precision and device, with requires_grad, each listed once
/// \throws std::invalid_argument  if the tensors or the result are not as stated, or the result depends on none of the tensors
HessianOf hessian_of(const std::function<at::Tensor()>& f, std::vector<at::Tensor> tensors);

/// Makes the Hessian with respect to one tensor.
HessianOf hessian_of(const std::function<at::Tensor()>& f, const at::Tensor& tensor);

/// Concatenates the entries of tensors, each row-major, into one vector [n].
at::Tensor concatenated(const std::vector<at::Tensor>& tensors);

/// Splits flat vectors [..., n] into tensors [..., shape of each] shaped like `tensors`: the inverse of concatenated().
/// \throws std::invalid_argument  if the last dimension is not the number of entries of all tensors
std::vector<at::Tensor> split_like(const at::Tensor& flat, const std::vector<at::Tensor>& tensors);

}  // namespace hessian
