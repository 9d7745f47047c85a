#pragma once

#include <ATen/ATen.h>

#include <cstdint>
#include <string>
#include <vector>

#include "hessian/parameters.h"
#include "hessian/program.h"

namespace hessian {

/// The mean loss of B sequences, (1/B) sum_s f_s(w), as a function of parameters w of a program.
struct ParameterProblem {
  Program program;  ///< from its inputs to the mean cross-entropy of each sequence, [B]
  Parameters parameters;
  std::vector<at::Tensor> inputs;     ///< one [B, ...] per input of the program
  std::vector<std::string> selected;  ///< names of w, e.g. from select_parameters(); empty: all parameters

  /// Returns B.
  int64_t sequences() const { return inputs.front().size(0); }
  /// Returns the inputs of `count` sequences, starting with `first`.
  std::vector<at::Tensor> inputs_of(int64_t first, int64_t count) const;
  /// Returns w. Vectors concatenate the entries of its tensors in this order.
  Parameters varying() const;
};

/// Checks the inputs and the selection.
/// \throws std::invalid_argument  if there are no inputs or sequences, the inputs differ in their number of sequences, or w is
///                                empty
/// \throws std::out_of_range      if a selected parameter does not exist
void check(const ParameterProblem& problem);

/// Returns the total number of entries of parameters.
int64_t entries_of(const Parameters& parameters);

}  // namespace hessian
