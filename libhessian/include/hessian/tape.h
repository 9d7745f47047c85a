#pragma once

#include <ATen/ATen.h>

#include <memory>
#include <vector>

#include "hessian/linear_operator.h"
#include "hessian/parameters.h"
#include "hessian/program.h"

namespace hessian {

namespace tape {
class Recording;
}

/// Whether this build has the tape's kernels for a device: always for the CPU.
bool tape_runs_on(c10::Device device);

/// Vectors that enter a tape at one of its values: any number for each sequence.
struct TapeVectors {
  at::Tensor rows;           ///< [R, T, width]
  ProblemIndices sequences;  ///< of each row; in any order, and as often as it has vectors
};

/// A program run once, with what Hessian-vector products need kept: its values, its gradient, and each primitive's own
/// tangent rules.
///
/// For S sequences with the losses f_1 ... f_S, a product is one sweep forward that carries tangents and one back that
/// carries the tangents of the gradient (forward over reverse), for k vectors at once, which read each weight once.
/// Vectors may enter at several values of one program, as probes of several layers do: from each value on, all that
/// have entered ride together.
///
/// With checkpoints, what lies between them is computed again in each product, and only one such part is held at a
/// time: less memory for more work. So are parameters that are deferred: those of a part are fetched when it is made
/// again and let go with it, and the next part's are got ready meanwhile.
///
/// Cost: making it is one gradient; a sweep the matrix products of one gradient with frozen weights for each vector,
/// and passes over activations beside them. With checkpoints two gradients more a sweep, and half as much again for
/// each vector. Memory: a few activations for each primitive, and attention's [S, n_heads, T, T] weights twice; in a
/// sweep about as much for each vector. With checkpoints that of one part, and of each checkpoint an activation.
/// Source: Pearlmutter (1994), Fast exact multiplication by the Hessian; Griewank & Walther, Evaluating Derivatives,
/// 2nd ed., section 3.4, and chapter 12 for checkpoints.
class Tape {
 public:
  /// \param inputs       one tensor [S, ...] for each input of the program
  /// \param entries      the values at which vectors enter, each computed by the program or an input of it, ascending
  /// \param checkpoints  results of steps that end a part, ascending; empty: everything is kept
  /// \throws std::invalid_argument  if the output is not [S], or does not depend on an entry
  /// \throws std::out_of_range      if a parameter is absent
  Tape(const Program& program, const Parameters& parameters, const std::vector<at::Tensor>& inputs,
       std::vector<ValueId> entries, const std::vector<ValueId>& checkpoints = {});
  Tape(Tape&&) noexcept;
  Tape& operator=(Tape&&) noexcept;
  ~Tape();

  /// f_s, [S].
  const at::Tensor& losses() const;

  /// The activation at an entry, and the gradient of f_s with respect to it, both [S, T, width].
  const at::Tensor& activation(std::size_t entry) const;
  const at::Tensor& gradient(std::size_t entry) const;

  /// Products of the Hessians with respect to the activation at each entry.
  /// \param vectors  for each entry; no rows where none enters
  /// \return         the rows' products, in the same shapes
  /// \throws std::invalid_argument  for other shapes, or a sequence that is not there
  std::vector<at::Tensor> apply(const std::vector<TapeVectors>& vectors) const;

 private:
  std::unique_ptr<tape::Recording> recording_;
};

}  // namespace hessian
