#include "hessian/evaluate.h"

#include <stdexcept>
#include <string>
#include <utility>

#include "kernels/fused/functions.h"
#include "program/program_steps.h"

namespace hessian {
namespace {

std::size_t place(ValueId value) {
  return static_cast<std::size_t>(value);
}

/// Holds the values of a program until their last use.
class Values {
 public:
  Values(const Program& program, std::span<const at::Tensor> inputs, const EvaluateOptions& options)
      : values_(inputs.begin(), inputs.end()), rounds_once_(options.derivatives == Derivatives::first) {
    values_.resize(values_.size() + program.steps.size());
    rounded_.resize(values_.size());
    for (const auto& [value, tensor] : options.overrides) {
      values_.at(place(value)) = tensor;
    }
  }

  at::Tensor& operator[](ValueId value) { return values_[place(value)]; }

  /// Returns the j-th input of a step. Under autocast, linear maps that read the same value share its rounded copy, so
  /// that it is computed, kept and differentiated once.
  const at::Tensor& read(const Step& step, std::size_t j) {
    const std::size_t value = place(step.inputs[j]);
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

  void release(ValueId value) {
    values_[place(value)] = at::Tensor();
    rounded_[place(value)] = at::Tensor();
  }

 private:
  std::vector<at::Tensor> values_;
  std::vector<at::Tensor> rounded_;
  bool rounds_once_;
};

/// Gives each step its parameters. Deferred ones are loaded for one step at a time, while their source prepares those of
/// the next step.
class StepParameters {
 public:
  StepParameters(const Program& program, const std::vector<bool>& needed, const Parameters& parameters)
      : parameters_(parameters) {
    for (std::size_t i = 0; parameters.any_deferred() && i < program.steps.size(); ++i) {
      names_.push_back(needed[i] ? whole_parameters(program.steps[i].operation) : std::vector<std::string>());
      // An embedding reads only rows of its table, so the table need not be loaded.
      embeds_.push_back(std::holds_alternative<Embedding>(program.steps[i].operation));
    }
  }

  /// Returns apply(parameters), with the parameters of the step materialised.
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

/// One evaluation of a program.
class Evaluation {
 public:
  Evaluation(const Program& program, const Parameters& parameters, std::span<const at::Tensor> inputs,
             const EvaluateOptions& options)
      : program_(program),
        parameters_(parameters),
        options_(options),
        values_(program, inputs, options),
        needed_(needed_steps(program, [&](ValueId value) { return options.overrides.contains(value); })),
        last_(last_uses(program, needed_)),
        step_parameters_(program, needed_, parameters) {
    // Does not fuse if there is an observer: it is called with every value, including those between a map and its norm.
    const bool fuses = options.derivatives == Derivatives::first && options.numerics == Numerics::wide &&
                       !options.observe && !parameters.any_deferred();
    const std::vector<bool> none(program.steps.size(), false);
    simple_norms_ = fuses ? simple_norms(program, needed_) : none;
    simple_norm_gates_ = fuses ? simple_norm_gates(program, needed_) : none;
  }

  at::Tensor run() {
    std::size_t end = 0;  // end of the steps that are computed together
    for (std::size_t i = 0; i < program_.steps.size(); i = end) {
      end = i + 1;
      if (!needed_[i]) {
        continue;
      }
      at::Tensor value = compute(i, end);
      const ValueId result = program_.n_inputs + static_cast<ValueId>(end) - 1;
      values_[result] = std::move(value);
      if (options_.observe) {
        options_.observe(result, values_[result]);
      }
      release_inputs(i, end);
    }
    return values_[program_.output];
  }

 private:
  /// Computes the result of the step at `begin`, together with the steps fused with it, and sets `end` past the last
  /// one.
  at::Tensor compute(std::size_t begin, std::size_t& end) {
    const Step& step = program_.steps[begin];
    std::vector<at::Tensor> operands;
    for (std::size_t j = 0; j < step.inputs.size(); ++j) {
      operands.push_back(values_.read(step, j));
    }
    const bool has_kernels = simple_norms_[begin] && fused::has_kernels_for(operands.front());
    // On the CPU, separate norms and gate are faster, although they keep more memory.
    if (has_kernels && simple_norm_gates_[begin] && operands.front().is_cuda()) {
      end = begin + 5;
      return fused::simple_norm_gate(simple_norm_operand(begin), simple_norm_operand(begin + 2));
    }
    if (has_kernels) {
      end = begin + 2;
      return fused::simple_norm(simple_norm_operand(begin));
    }
    end = begin + 1;
    return step_parameters_.with(begin, [&](const Parameters& parameters) {
      return apply_operation(step.operation, parameters, operands, options_.numerics, options_.derivatives);
    });
  }

  fused::SimpleNormOperand simple_norm_operand(std::size_t step) {
    const auto& map = std::get<Linear>(program_.steps[step].operation);
    const auto& norm = std::get<RmsNorm>(program_.steps[step + 1].operation);
    return {values_.read(program_.steps[step], 0), parameters_.at(map.weight), parameters_.at(norm.gain), norm.eps};
  }

  /// Releases the values that no later step reads.
  void release_inputs(std::size_t begin, std::size_t end) {
    for (std::size_t step = begin; step < end; ++step) {
      for (const ValueId input : program_.steps[step].inputs) {
        if (last_[place(input)] == step && input != program_.output) {
          values_.release(input);
        }
      }
    }
  }

  const Program& program_;
  const Parameters& parameters_;
  const EvaluateOptions& options_;
  Values values_;
  std::vector<bool> needed_;
  std::vector<std::size_t> last_;  // per value: the last step that reads it
  StepParameters step_parameters_;
  std::vector<bool> simple_norms_;
  std::vector<bool> simple_norm_gates_;
};

}  // namespace

at::Tensor evaluate(const Program& program, const Parameters& parameters, std::span<const at::Tensor> inputs,
                    const EvaluateOptions& options) {
  if (inputs.size() != place(program.n_inputs)) {
    throw std::invalid_argument("the program takes " + std::to_string(program.n_inputs) + " inputs, not " +
                                std::to_string(inputs.size()));
  }
  return Evaluation(program, parameters, inputs, options).run();
}

}  // namespace hessian
