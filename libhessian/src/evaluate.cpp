#include "hessian/evaluate.h"

#include <stdexcept>
#include <string>

#include "fused/functions.h"
#include "program_steps.h"

namespace hessian {
namespace {

/// Values of a program as they are computed and as they are read.
class Values {
 public:
  Values(const Program& program, std::span<const at::Tensor> inputs, const EvaluateOptions& options)
      : values_(inputs.begin(), inputs.end()), rounds_once_(options.derivatives == Derivatives::first) {
    values_.resize(values_.size() + program.steps.size());
    rounded_.resize(values_.size());
    for (const auto& [value, tensor] : options.overrides) {
      values_.at(static_cast<std::size_t>(value)) = tensor;
    }
  }

  at::Tensor& operator[](ValueId value) { return values_[static_cast<std::size_t>(value)]; }

  /// What the j-th input of a step is. Where autocast is on, maps that read one value share its rounding, which would
  /// otherwise be done, kept and differentiated for each of them.
  const at::Tensor& read(const Step& step, std::size_t j) {
    const auto value = static_cast<std::size_t>(step.inputs[j]);
    const bool is_map =
        std::holds_alternative<Linear>(step.operation) || std::holds_alternative<CrossEntropyHead>(step.operation);
    if (!rounds_once_ || !is_map || j != 0) {
      return values_[value];
    }
    if (!rounded_[value].defined()) {
      rounded_[value] = fused::for_products(values_[value]);
    }
    return rounded_[value];
  }

  void forget(ValueId value) {
    values_[static_cast<std::size_t>(value)] = at::Tensor();
    rounded_[static_cast<std::size_t>(value)] = at::Tensor();
  }

 private:
  std::vector<at::Tensor> values_;
  std::vector<at::Tensor> rounded_;
  bool rounds_once_;
};

}  // namespace

at::Tensor evaluate(const Program& program, const Parameters& parameters, std::span<const at::Tensor> inputs,
                    const EvaluateOptions& options) {
  if (inputs.size() != static_cast<std::size_t>(program.n_inputs)) {
    throw std::invalid_argument("the program takes " + std::to_string(program.n_inputs) + " inputs, not " +
                                std::to_string(inputs.size()));
  }
  Values values(program, inputs, options);
  const std::vector<bool> needed =
      needed_steps(program, [&](ValueId value) { return options.overrides.contains(value); });
  const std::vector<std::size_t> last = last_uses(program, needed);
  // Who observes values is shown each, those between a map and its norm too.
  const bool joins =
      options.derivatives == Derivatives::first && options.numerics == Numerics::wide && !options.observe;
  const std::vector<bool> simple =
      joins ? simple_norms(program, needed) : std::vector<bool>(program.steps.size(), false);
  std::vector<at::Tensor> operands;
  for (std::size_t i = 0; i < program.steps.size(); ++i) {
    if (!needed[i]) {
      continue;
    }
    const Step& step = program.steps[i];
    operands.clear();
    for (std::size_t j = 0; j < step.inputs.size(); ++j) {
      operands.push_back(values.read(step, j));
    }
    const ValueId result = program.n_inputs + static_cast<ValueId>(i);
    const bool is_simple = simple[i] && fused::has_kernels_for(operands.front());
    if (is_simple) {
      const auto& norm = std::get<RmsNorm>(program.steps[i + 1].operation);
      values[result + 1] = fused::linear_rms_norm(
          operands.front(), parameters.at(std::get<Linear>(step.operation).weight), parameters.at(norm.gain), norm.eps);
    } else {
      values[result] = apply_operation(step.operation, parameters, operands, options.numerics, options.derivatives);
    }
    if (options.observe) {
      options.observe(result, values[result]);
    }
    for (const ValueId input : step.inputs) {
      if (last[static_cast<std::size_t>(input)] == i && input != program.output) {
        values.forget(input);
      }
    }
    i += is_simple ? 1 : 0;  // the norm is done
  }
  return values[program.output];
}

}  // namespace hessian
