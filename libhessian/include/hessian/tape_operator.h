#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "hessian/linear_operator.h"
#include "hessian/parameters.h"
#include "hessian/program.h"
#include "hessian/tape.h"

namespace hessian {

/// The Hessians of the S losses of a program with respect to one of its values: HessianOperator's fast twin, for what
/// is written as a Program.
///
/// If only some blocks are asked for, the tape is recorded again for those alone as soon as that saves work.
///
/// Not safe for use from two threads at once.
/// Cost and memory: see Tape; k vectors share one sweep.
class TapeOperator final : public LinearOperator {
 public:
  /// \param inputs  one tensor [S, ...] for each input of the program
  /// \param value   the value that is perturbed, [S, T, width]
  /// \throws std::invalid_argument  as Tape
  TapeOperator(Program program, Parameters parameters, std::vector<at::Tensor> inputs, ValueId value);

  int64_t blocks() const override { return inputs_.front().size(0); }
  int64_t dim() const override { return dim_; }
  at::TensorOptions vector_options() const override { return options_; }

 private:
  at::Tensor do_apply(const at::Tensor& v, const BlockIndices& blocks) const override;
  void record(const BlockIndices& blocks) const;

  Program program_;
  Parameters parameters_;
  std::vector<at::Tensor> inputs_;
  ValueId value_;
  int64_t dim_ = 0;
  at::TensorOptions options_;
  mutable BlockIndices recorded_;
  mutable std::unique_ptr<Tape> tape_;
};

}  // namespace hessian
