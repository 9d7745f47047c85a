#pragma once

#include <ATen/ATen.h>

#include <vector>

namespace hessian {

/// Computes d scalar / d leaf for each leaf, undefined for leaves that the scalar does not depend on.
/// \param keep_graph  keep the graph and record that of the gradients, so that they can be differentiated again
std::vector<at::Tensor> gradients_of(const at::Tensor& scalar, const std::vector<at::Tensor>& leaves, bool keep_graph);

/// Computes the product of a Hessian with one vector: the derivatives of sum_i <gradients_i, directions_i> with respect to the
/// leaves (reverse over reverse). The graph of the gradients is kept for further products.
/// \param gradients   from gradients_of() with keep_graph; undefined ones are skipped
/// \param directions  shaped like the leaves
/// \return            one tensor per leaf, undefined if the product is zero for that leaf
/// Source: Pearlmutter (1994), Fast exact multiplication by the Hessian.
std::vector<at::Tensor> hessian_product(const std::vector<at::Tensor>& gradients, const std::vector<at::Tensor>& leaves,
                                        const std::vector<at::Tensor>& directions);

}  // namespace hessian
