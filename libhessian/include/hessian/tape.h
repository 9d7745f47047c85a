#pragma once

#include <ATen/ATen.h>

#include <memory>
#include <vector>

#include "hessian/parameters.h"
#include "hessian/program.h"

namespace hessian {

/// A program run once, with what Hessian-vector products need kept: its values, its gradient, and each primitive's own
/// tangent rules.
///
/// For S sequences with the losses f_1 ... f_S, a product is one sweep forward that carries tangents and one back that
/// carries the tangents of the gradient (forward over reverse), for k vectors at once, which read each weight once.
/// Vectors may enter at several values of one program, as probes of several layers do: from each value on, all that
/// have entered ride together.
///
/// Cost: making it is one gradient; a sweep the matrix products of one gradient with frozen weights for each vector,
/// and passes over activations beside them. Memory: a few activations for each primitive, and attention's [S, n_heads,
/// T, T] weights twice; in a sweep about as much for each vector.
/// Source: Pearlmutter (1994), Fast exact multiplication by the Hessian; Griewank & Walther, Evaluating Derivatives,
/// 2nd ed., section 3.4.
class Tape {
 public:
  /// \param inputs   one tensor [S, ...] for each input of the program
  /// \param entries  the values at which vectors enter, each computed by the program or an input of it
  /// \throws std::invalid_argument  if the output is not [S], or does not depend on an entry
  /// \throws std::out_of_range      if a parameter is absent
  Tape(const Program& program, const Parameters& parameters, const std::vector<at::Tensor>& inputs,
       std::vector<ValueId> entries);
  Tape(Tape&&) noexcept;
  Tape& operator=(Tape&&) noexcept;
  ~Tape();

  /// f_s, [S].
  const at::Tensor& losses() const;

  /// The activation at an entry, and the gradient of f_s with respect to it, both [S, T, width].
  const at::Tensor& activation(std::size_t entry) const;
  const at::Tensor& gradient(std::size_t entry) const;

  /// Products of the Hessians with respect to the activation at each entry.
  /// \param vectors  for each entry [S, k, T, width], k of its own
  /// \return         the same shapes
  /// \throws std::invalid_argument  for other shapes
  std::vector<at::Tensor> apply(const std::vector<at::Tensor>& vectors) const;

 private:
  struct Recording;
  class Sweep;
  std::unique_ptr<Recording> recording_;
};

}  // namespace hessian
