#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "hessian/linear_operator.h"
#include "hessian/parameters.h"
#include "hessian/program.h"
#include "hessian/tape.h"

namespace hessian {

/// What a TapeOperator differentiates.
struct TapeProblem {
  Program program;
  Parameters parameters;
  std::vector<at::Tensor> inputs;    ///< one [S, ...] for each input of the program
  std::vector<ValueId> values;       ///< the L values that are perturbed, ascending, each [S, T, width]
  std::vector<ValueId> checkpoints;  ///< see Tape; empty: everything is kept
};

/// The Hessians of the S losses of a program with respect to L of its values: L S problems, problem l S + s for value l and
/// sequence s. HessianOperator's fast twin, for what is written as a Program.
///
/// If only some problems are asked for, the others take no part, and the tape is recorded again without the sequences
/// that none of them is of as soon as that saves work.
///
/// Not safe for use from two threads at once.
/// Cost and memory: see Tape; all vectors share one sweep.
class TapeOperator final : public LinearOperator {
 public:
  /// \throws std::invalid_argument  as Tape, or if the values differ in width
  explicit TapeOperator(TapeProblem problem);
  /// The Hessians with respect to one value, everything kept.
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
