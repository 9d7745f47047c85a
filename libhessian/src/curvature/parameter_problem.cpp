#include "hessian/parameter_problem.h"

#include <stdexcept>

#include "hessian/parameter_selection.h"

namespace hessian {

std::vector<at::Tensor> ParameterProblem::inputs_of(int64_t first, int64_t count) const {
  std::vector<at::Tensor> rows;
  for (const at::Tensor& input : inputs) {
    rows.push_back(input.narrow(0, first, count));
  }
  return rows;
}

Parameters ParameterProblem::varying() const {
  return selected.empty() ? parameters : parameters_named(parameters, selected);
}

void check(const ParameterProblem& problem) {
  if (problem.inputs.empty() || problem.inputs.size() != static_cast<std::size_t>(problem.program.n_inputs)) {
    throw std::invalid_argument("the program takes " + std::to_string(problem.program.n_inputs) + " inputs, not " +
                                std::to_string(problem.inputs.size()));
  }
  for (const at::Tensor& input : problem.inputs) {
    if (input.dim() < 1 || input.size(0) < 1 || input.size(0) != problem.sequences()) {
      throw std::invalid_argument("an input is " + c10::str(input.sizes()) +
                                  "; every input needs one row per sequence, and at least one");
    }
  }
  if (entries_of(problem.varying()) == 0) {
    throw std::invalid_argument("no parameter is selected");
  }
}

int64_t entries_of(const Parameters& parameters) {
  int64_t entries = 0;
  for (const auto& entry : parameters) {
    entries += entry.second.numel();
  }
  return entries;
}

}  // namespace hessian
