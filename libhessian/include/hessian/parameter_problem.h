#pragma once

#include <ATen/ATen.h>

#include <cstdint>
#include <string>
#include <vector>

#include "hessian/parameters.h"
#include "hessian/program.h"

namespace hessian {

/// The mean loss of B sequences, (1/B) sum_s f_s(w), as a function of some parameters w of a program.
struct ParameterProblem {
  Program program;  ///< from its inputs to the mean cross-entropy of each sequence, [B]
  Parameters parameters;
  std::vector<at::Tensor> inputs;     ///< one [B, ...] for each input of the program
  std::vector<std::string> selected;  ///< the parameters that vary, as select_parameters() gives them; empty: all

  /// B.
  int64_t sequences() const { return inputs.front().size(0); }
  /// The inputs of `count` sequences from `first` on.
  std::vector<at::Tensor> inputs_of(int64_t first, int64_t count) const;
  /// The parameters that vary. Vectors hold their entries one behind the other, in this order.
  Parameters varying() const;
};

/// Checks what every operator of such a problem asks for.
/// \throws std::invalid_argument  without inputs or sequences, for inputs of different numbers of them, or if nothing
///                                varies
/// \throws std::out_of_range      if a parameter is absent
void check(const ParameterProblem& problem);

/// How many entries parameters have together.
int64_t entries_of(const Parameters& parameters);

}  // namespace hessian
