#pragma once

#include <ATen/ATen.h>

#include <cstdint>
#include <vector>

#include "hessian/tape.h"
#include "tape/recording.h"

namespace hessian::tape {

/// One product. A sequence's vectors, in the order in which they enter, take its slots 0, 1, ...: a value's tangent is
/// [S, k, T, width] with as many slots as any sequence has filled before it. Slots that a sequence has not filled are
/// zero, and nobody asks for the tangents of their gradients.
class Sweep {
 public:
  Sweep(Recording& recording, const std::vector<TapeVectors>& vectors);
  std::vector<at::Tensor> run();

 private:
  /// The slots that the vectors of one entry take.
  struct Slots {
    int64_t before = 0;  ///< slots in use before they enter
    int64_t after = 0;   ///< and after
    bool whole = false;  ///< whether they fill all of them in order
    at::Tensor index;    ///< of each row, sequence * after + slot
  };

  void assign_slots();
  void enter(ValueId value, at::Tensor tangent);
  void run_forward(const Part& part);
  void run_backward(const Part& part);
  void step_forward(std::size_t step);
  void step_backward(std::size_t step);
  at::Tensor leave(ValueId value);
  void add_cotangent_tangent(ValueId value, const at::Tensor& term);

  Recording& recording_;
  const std::vector<TapeVectors>& vectors_;
  std::vector<Slots> slots_;                    // of each entry
  std::vector<at::Tensor> tangents_;            // of values
  std::vector<at::Tensor> cotangent_tangents_;  // of values
  std::vector<bool> owned_;                     // of the latter: whether nothing else refers to it
  std::vector<int64_t> carried_;                // slots that the tangent of each value has
  std::vector<int64_t> widths_;                 // slots that each step was given
  std::vector<Scratch> scratch_;                // of each step
  std::vector<at::Tensor> products_;            // of each entry
};

}  // namespace hessian::tape
