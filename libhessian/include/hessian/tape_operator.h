#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "hessian/linear_operator.h"
#include "hessian/parameters.h"
#include "hessian/program.h"
#include "hessian/tape.h"

namespace hessian {

/// The losses that a TapeOperator differentiates.
struct TapeProblem {
  Program program;
  Parameters parameters;
  std::vector<at::Tensor> inputs;  ///< one [S, ...] per input of the program
  std::vector<ValueId> values;     ///< the L values to differentiate with respect to, ascending, each [S, T, width]
  std::vector<ValueId> checkpoints = {};  ///< see Tape; empty: keep all intermediate values
};

/// The Hessians of the S losses of a program with respect to L of its values: L S problems, problem l S + s for value l and
/// sequence s. Like HessianOperator but faster; needs the function as a Program.
///
/// If a solver requests a subset of the problems, products skip the others, and the tape is recorded again without the
/// sequences that are no longer needed as soon as this saves work.
///
/// Not safe for use from two threads at once.
/// Cost and memory: see Tape; all vectors share one tangent pass.
class TapeOperator final : public LinearOperator {
 public:
  /// \throws std::invalid_argument  as Tape, or if the values differ in width
  explicit TapeOperator(TapeProblem problem);
  /// Makes the Hessians with respect to one value, without checkpoints.
  TapeOperator(Program program, Parameters parameters, std::vector<at::Tensor> inputs, ValueId value);

  int64_t problems() const override { return static_cast<int64_t>(problem_.values.size()) * sequences(); }
  int64_t dim() const override { return dim_; }
  at::TensorOptions vector_options() const override { return options_; }

 private:
  at::Tensor do_apply(const at::Tensor& v, const ProblemIndices& problems) const override;
  void record(const ProblemIndices& sequences) const;
  int64_t sequences() const { return problem_.inputs.front().size(0); }

  TapeProblem problem_;
  int64_t dim_ = 0;
  at::TensorOptions options_;
  mutable ProblemIndices recorded_;  // sequences
  mutable std::unique_ptr<Tape> tape_;
};

}  // namespace hessian
