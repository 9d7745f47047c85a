#include "hessian/evaluate.h"

#include <stdexcept>
#include <string>

namespace hessian {
namespace {

/// Which steps the output needs, given that overridden values are not computed.
std::vector<bool> needed_steps(const Program& program, const std::map<ValueId, at::Tensor>& overrides) {
  std::vector<bool> needed(program.steps.size(), false);
  const auto mark = [&](ValueId value) {
    if (value >= program.n_inputs && !overrides.contains(value)) {
      needed[static_cast<std::size_t>(value - program.n_inputs)] = true;
    }
  };
  mark(program.output);
  for (std::size_t i = program.steps.size(); i-- > 0;) {
    if (needed[i]) {
      for (const ValueId input : program.steps[i].inputs) {
        mark(input);
      }
    }
  }
  return needed;
}

/// The last step that reads each value, so that its memory can go as soon as that step is done.
std::vector<std::size_t> last_uses(const Program& program, const std::vector<bool>& needed) {
  std::vector<std::size_t> last(static_cast<std::size_t>(program.n_inputs) + program.steps.size(), 0);
  for (std::size_t i = 0; i < program.steps.size(); ++i) {
    if (needed[i]) {
      for (const ValueId input : program.steps[i].inputs) {
        last[static_cast<std::size_t>(input)] = i;
      }
    }
  }
  return last;
}

}  // namespace

at::Tensor evaluate(const Program& program, const Parameters& parameters, std::span<const at::Tensor> inputs,
                    const EvaluateOptions& options) {
  if (inputs.size() != static_cast<std::size_t>(program.n_inputs)) {
    throw std::invalid_argument("the program takes " + std::to_string(program.n_inputs) + " inputs, not " +
                                std::to_string(inputs.size()));
  }
  std::vector<at::Tensor> values(inputs.begin(), inputs.end());
  values.resize(values.size() + program.steps.size());
  for (const auto& [value, tensor] : options.overrides) {
    values.at(static_cast<std::size_t>(value)) = tensor;
  }

  const std::vector<bool> needed = needed_steps(program, options.overrides);
  const std::vector<std::size_t> last = last_uses(program, needed);
  std::vector<at::Tensor> operands;
  for (std::size_t i = 0; i < program.steps.size(); ++i) {
    if (!needed[i]) {
      continue;
    }
    const Step& step = program.steps[i];
    operands.clear();
    for (const ValueId input : step.inputs) {
      operands.push_back(values[static_cast<std::size_t>(input)]);
    }
    const ValueId result = program.n_inputs + static_cast<ValueId>(i);
    at::Tensor& value = values[static_cast<std::size_t>(result)];
    value = apply_operation(step.operation, parameters, operands, options.numerics, options.derivatives);
    if (options.observe) {
      options.observe(result, value);
    }
    for (const ValueId input : step.inputs) {
      if (last[static_cast<std::size_t>(input)] == i && input != program.output) {
        values[static_cast<std::size_t>(input)] = at::Tensor();
      }
    }
  }
  return values[static_cast<std::size_t>(program.output)];
}

}  // namespace hessian
