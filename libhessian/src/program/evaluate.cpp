#include "hessian/evaluate.h"

#include <stdexcept>
#include <string>
#include <utility>

#include "kernels/fused/functions.h"
#include "program/program_steps.h"

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

/// Gives each step its parameters: those at hand as they are, deferred ones for as long as the step takes, while the
/// next step's are got ready.
class StepParameters {
 public:
  StepParameters(const Program& program, const std::vector<bool>& needed, const Parameters& parameters)
      : parameters_(parameters) {
    for (std::size_t i = 0; parameters.any_deferred() && i < program.steps.size(); ++i) {
      names_.push_back(needed[i] ? whole_parameters(program.steps[i].operation) : std::vector<std::string>());
      // The table of an embedding is for its rows alone.
      embeds_.push_back(std::holds_alternative<Embedding>(program.steps[i].operation));
    }
  }

  template <class Apply>
  at::Tensor with(std::size_t step, const Apply& apply) const {
    if (!parameters_.any_deferred() || embeds_[step]) {
      return apply(parameters_);
    }
    std::size_t next = step + 1;
    while (next < names_.size() && names_[next].empty()) {
      ++next;
    }
    const bool reads = !names_[step].empty();
    return apply(
        parameters_.fetched(names_[step], reads && next < names_.size() ? names_[next] : std::vector<std::string>()));
  }

 private:
  const Parameters& parameters_;
  std::vector<std::vector<std::string>> names_;
  std::vector<bool> embeds_;
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
  const StepParameters step_parameters(program, needed, parameters);
  // Who observes values is shown each, those between a map and its norm too.
  const bool joins = options.derivatives == Derivatives::first && options.numerics == Numerics::wide &&
                     !options.observe && !parameters.any_deferred();
  const std::vector<bool> nothing(program.steps.size(), false);
  const std::vector<bool> simple = joins ? simple_norms(program, needed) : nothing;
  const std::vector<bool> gates = joins ? simple_norm_gates(program, needed) : nothing;
  const auto simple_norm_at = [&](std::size_t step) -> fused::SimpleNormOperand {
    const auto& norm = std::get<RmsNorm>(program.steps[step + 1].operation);
    return {values.read(program.steps[step], 0), parameters.at(std::get<Linear>(program.steps[step].operation).weight),
            parameters.at(norm.gain), norm.eps};
  };

  std::vector<at::Tensor> operands;
  std::size_t end = 0;  // of the steps that are computed together
  for (std::size_t i = 0; i < program.steps.size(); i = end) {
    end = i + 1;
    if (!needed[i]) {
      continue;
    }
    operands.clear();
    for (std::size_t j = 0; j < program.steps[i].inputs.size(); ++j) {
      operands.push_back(values.read(program.steps[i], j));
    }
    const bool has_kernels = simple[i] && fused::has_kernels_for(operands.front());
    at::Tensor value;
    // The CPU is quicker with the norms and the gate apart, which keep more.
    if (has_kernels && gates[i] && operands.front().is_cuda()) {
      value = fused::simple_norm_gate(simple_norm_at(i), simple_norm_at(i + 2));
      end = i + 5;
    } else if (has_kernels) {
      value = fused::simple_norm(simple_norm_at(i));
      end = i + 2;
    } else {
      value = step_parameters.with(i, [&](const Parameters& at_hand) {
        return apply_operation(program.steps[i].operation, at_hand, operands, options.numerics, options.derivatives);
      });
    }
    const ValueId result = program.n_inputs + static_cast<ValueId>(end) - 1;
    values[result] = std::move(value);
    if (options.observe) {
      options.observe(result, values[result]);
    }
    for (std::size_t step = i; step < end; ++step) {
      for (const ValueId input : program.steps[step].inputs) {
        if (last[static_cast<std::size_t>(input)] == step && input != program.output) {
          values.forget(input);
        }
      }
    }
  }
  return values[program.output];
}

}  // namespace hessian
