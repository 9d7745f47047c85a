#pragma once

#include <ATen/ATen.h>

#include <cstdint>
#include <set>
#include <string>
#include <vector>

#include "hessian/tape.h"
#include "tape/recorded_program.h"

namespace hessian::tape {

/// Vectors that enter at parameters: k of them, the same for all sequences.
struct ParameterVectors {
  Parameters tangents;  ///< [k, shape] of each varying parameter
  Parameters products;  ///< the same shapes, to be written
  int64_t count = 0;    ///< k
};

/// Computes one product: carries tangents forward through a recorded program, and the tangents of cotangents back.
///
/// A sequence's vectors take its slots 0, 1, ... in the order in which they enter. A value's tangent is [S, k, T, width]
/// with as many slots as any sequence has filled before that value. Slots that a sequence has not filled are zero, and
/// the tangents of their cotangents are not read.
class TangentPass {
 public:
  TangentPass(RecordedProgram& recorded, const std::vector<TapeVectors>& vectors);
  /// Takes vectors that enter at parameters only: they use the slots 0 ... k - 1 of every sequence.
  TangentPass(RecordedProgram& recorded, ParameterVectors vectors);

  /// Returns the products of the vectors that entered at values, and writes those of the parameters. Called once.
  std::vector<at::Tensor> run();

 private:
  /// The slots that the vectors of one entry take.
  struct Slots {
    int64_t before = 0;  ///< slots in use before they enter
    int64_t after = 0;   ///< slots in use after they have entered
    bool whole = false;  ///< whether the vectors fill all slots in order
    at::Tensor index;    ///< per vector: sequence * after + slot
  };

  void assign_slots();
  void run_forward();
  void run_backward();
  void run_forward(const Segment& segment);
  void run_backward(const Segment& segment);
  void step_forward(std::size_t step);
  void step_backward(std::size_t step);
  void enter(ValueId value, at::Tensor tangent);
  at::Tensor leave(ValueId value);
  void add_parameter_terms(const Parameters& terms);
  void add_cotangent_tangent(ValueId value, const at::Tensor& term);
  void clear_untouched_products();

  RecordedProgram& recorded_;
  std::vector<TapeVectors> vectors_;
  ParameterVectors parameter_vectors_;
  std::set<std::string> written_;                // parameters whose product already has a term
  std::vector<Slots> slots_;                     // per entry
  std::vector<at::Tensor> tangents_;             // per value
  std::vector<at::Tensor> cotangent_tangents_;   // per value
  std::vector<bool> owned_;                      // per value: whether nothing else refers to its cotangent's tangent
  std::vector<int64_t> carried_;                 // per value: slots that its tangent has
  std::vector<int64_t> widths_;                  // per step: slots that its rule is given
  std::vector<Scratch> scratch_;                 // per step
  std::vector<std::vector<at::Tensor>> starts_;  // per segment: tangents of the values that it reads, for recomputation
  std::vector<at::Tensor> products_;             // per entry
};

}  // namespace hessian::tape
