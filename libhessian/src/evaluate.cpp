#include "hessian/evaluate.h"

#include <stdexcept>
#include <string>

#include "program_steps.h"

namespace hessian {
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

  const std::vector<bool> needed =
      needed_steps(program, [&](ValueId value) { return options.overrides.contains(value); });
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
