#pragma once

#include <ATen/ATen.h>

#include <cstdint>
#include <set>
#include <string>
#include <vector>

#include "hessian/tape.h"
#include "tape/recording.h"

namespace hessian::tape {

/// Vectors that enter at parameters, k for all sequences alike.
struct ParameterVectors {
  Parameters tangents;  ///< [k, shape] of each parameter in demand
  Parameters products;  ///< the same shapes, to be written
  int64_t count = 0;    ///< k
};

/// One product. A sequence's vectors, in the order in which they enter, take its slots 0, 1, ...: a value's tangent is
/// [S, k, T, width] with as many slots as any sequence has filled before it. Slots that a sequence has not filled are
/// zero, and nobody asks for the tangents of their gradients.
class Sweep {
 public:
  Sweep(Recording& recording, const std::vector<TapeVectors>& vectors);
  /// Vectors enter at parameters alone: they take the slots 0 ... k - 1 of every sequence.
  Sweep(Recording& recording, ParameterVectors vectors);

  /// The products of the vectors that entered at values.
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
  std::vector<at::Tensor> parameter_tangents(std::size_t step) const;
  void add_parameter_terms(std::size_t step, const std::vector<at::Tensor>& terms);
  void add_cotangent_tangent(ValueId value, const at::Tensor& term);

  Recording& recording_;
  std::vector<TapeVectors> vectors_;
  ParameterVectors parameter_vectors_;
  std::set<std::string> written_;               // parameters that have part of their product
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
