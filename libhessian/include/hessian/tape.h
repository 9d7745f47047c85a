#pragma once

#include <ATen/ATen.h>

#include <memory>
#include <vector>

#include "hessian/linear_operator.h"
#include "hessian/parameters.h"
#include "hessian/program.h"

namespace hessian {

namespace tape {
class RecordedProgram;
}

/// Returns whether this build has the tape's kernels for a device. It always has those for the CPU.
bool tape_runs_on(c10::Device device);

/// Vectors that enter a tape at one of its entries, any number per sequence.
struct TapeVectors {
  at::Tensor rows;           ///< [R, T, width]
  ProblemIndices sequences;  ///< per row: its sequence; in any order, and repeated for a sequence with several vectors
};

/// A program run once at one point, with its values, its gradient and the tangent rules of its primitives kept for
/// Hessian-vector products.
///
/// For S sequences with the losses f_1 ... f_S, a product is one forward pass that carries tangents and one backward pass
/// that carries the tangents of the gradient (forward over reverse). It takes k vectors at once and reads each weight
/// once. Vectors may enter at several values of the program, as in probes of several layers: from each value on, all
/// vectors that have entered share the pass.
///
/// With checkpoints, the segments between them are recomputed in each product, and only one segment is kept at a time,
/// which saves memory at the cost of more work. Deferred parameters are loaded and released with their segment, while
/// their source prepares those of the next segment.
///
/// Cost: construction, one gradient. apply(): per vector, the matrix products of one gradient with frozen weights, and
/// passes over activations. With checkpoints, apply() also runs the program forward twice and backward once, and takes
/// 1.5x per vector.
/// Memory: a few activations per primitive, and attention's [S, n_heads, T, T] weights twice; during apply() about as
/// much per vector. With checkpoints: that of one segment, and one activation per checkpoint.
/// Source: Pearlmutter (1994), Fast exact multiplication by the Hessian; Griewank & Walther, Evaluating Derivatives,
/// 2nd ed., section 3.4, and chapter 12 for checkpoints.
class Tape {
 public:
  /// \param inputs       one tensor [S, ...] for each input of the program
  /// \param entries      the values at which vectors can enter, inputs or results of steps, ascending
  /// \param checkpoints  results of steps that end a segment, ascending; empty: keep all intermediate values
  /// \throws std::invalid_argument  if the output is not [S], or does not depend on an entry
  /// \throws std::out_of_range      if a parameter is missing
  Tape(const Program& program, const Parameters& parameters, const std::vector<at::Tensor>& inputs,
       std::vector<ValueId> entries, const std::vector<ValueId>& checkpoints = {});
  Tape(Tape&&) noexcept;
  Tape& operator=(Tape&&) noexcept;
  ~Tape();

  /// Returns the losses f_s, [S].
  const at::Tensor& losses() const;

  /// Return the activation at an entry, and the gradient of f_s with respect to it, both [S, T, width].
  const at::Tensor& activation(std::size_t entry) const;
  const at::Tensor& gradient(std::size_t entry) const;

  /// Computes products with the Hessians with respect to the activation at each entry.
  /// \param vectors  one per entry; without rows if no vector enters there
  /// \return         one tensor per entry: the products of its rows, in the same shape
  /// \throws std::invalid_argument  if shapes do not match, or if a sequence does not exist
  std::vector<at::Tensor> apply(const std::vector<TapeVectors>& vectors) const;

 private:
  std::unique_ptr<tape::RecordedProgram> recorded_;
};

}  // namespace hessian
