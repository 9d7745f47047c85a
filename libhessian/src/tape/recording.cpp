#include "tape/recording.h"

#include <algorithm>
#include <stdexcept>
#include <string>
#include <utility>

#include "hessian/evaluate.h"
#include "program/program_steps.h"

namespace hessian::tape {
namespace {

at::Tensor shape_of(const at::Tensor& x) {
  return at::zeros({}, x.options()).expand(x.sizes());
}

[[noreturn]] void refuse_entry(ValueId entry) {
  throw std::invalid_argument("the program's output does not depend on value " + std::to_string(entry));
}

/// Adds a term to a sum that has none yet where it is undefined. Terms may be shared: nothing is added in place.
void accumulate(at::Tensor& sum, const at::Tensor& term) {
  sum = sum.defined() ? sum + term : term;
}

}  // namespace

Recording::Recording(Program program, Parameters parameters, const std::vector<at::Tensor>& inputs,
                     std::vector<ValueId> entries, const std::vector<ValueId>& checkpoints, Demand demand)
    : program_(std::move(program)),
      parameters_(std::move(parameters)),
      demand_(std::move(demand)),
      entries_(std::move(entries)),
      needed_(needed_steps(program_, [](ValueId) { return false; })),
      last_read_(last_uses(program_, needed_)) {
  const std::size_t count = place(program_.n_inputs) + program_.steps.size();
  for (const Step& step : program_.steps) {
    const auto names = parameter_names(step.operation);
    varies_.push_back(std::any_of(names.begin(), names.end(), [&](const auto& name) { return demand_.varies(name); }));
  }
  active_.resize(count, false);
  shapes_.resize(count);
  rules_.resize(program_.steps.size());
  kept_values_.resize(count);
  kept_cotangents_.resize(count);
  activations_.resize(entries_.size());
  gradients_.resize(entries_.size());
  divide(checkpoints);
  note_reads();

  std::vector<at::Tensor> values = inputs;
  values.resize(count);
  for (ValueId input = 0; input < program_.n_inputs; ++input) {
    active_[place(input)] = entry_at(input).has_value();
    shapes_[place(input)] = shape_of(values[place(input)]);
  }
  for (std::size_t entry = 0; entry < entries_.size(); ++entry) {
    activations_[entry] = values[place(entries_[entry])];  // undefined yet unless it is an input
  }
  for (std::size_t i = 0; i < parts_.size(); ++i) {
    const Part& part = parts_[i];
    const bool last = i + 1 == parts_.size();
    for (const ValueId value : part.reads) {
      if (!keeps_everything()) {
        kept_values_[place(value)] = values[place(value)];
      }
    }
    run_forward(part, last ? before(i) : &parts_[i + 1], values);
    if (!last) {  // the way back begins with it
      release(part);
    }
  }
  losses_ = values[place(program_.output)];
  for (std::size_t entry = 0; entry < entries_.size(); ++entry) {
    if (!activations_[entry].defined()) {
      refuse_entry(entries_[entry]);
    }
  }
  if (losses_.dim() != 1 || losses_.size(0) != inputs.front().size(0)) {
    throw std::invalid_argument("the program's output is " + c10::str(losses_.sizes()) +
                                ", expected one loss for each of " + std::to_string(inputs.front().size(0)) +
                                " sequences");
  }
  values.clear();

  std::vector<at::Tensor> cotangents(count);
  cotangents[place(program_.output)] = at::ones_like(losses_);
  for (std::size_t i = parts_.size(); i-- > 0;) {
    const Part& part = parts_[i];
    for (std::size_t step = part.begin; step < part.end; ++step) {
      kept_cotangents_[place(result_of(step))] = cotangents[place(result_of(step))];
    }
    if (i + 1 < parts_.size()) {
      std::vector<at::Tensor> again = kept_values_;
      run_forward(part, before(i), again);
    }
    run_backward(part, cotangents);
    release(part);
  }
  for (std::size_t entry = 0; entry < entries_.size(); ++entry) {
    if (entries_[entry] < program_.n_inputs) {
      gradients_[entry] = cotangents[place(entries_[entry])];
    }
    if (!gradients_[entry].defined()) {
      refuse_entry(entries_[entry]);
    }
  }
  std::vector<bool> has_rule(program_.steps.size());
  for (std::size_t step = 0; step < has_rule.size(); ++step) {
    has_rule[step] = needed_[step] && depends(step);
  }
  last_use_ = last_uses(program_, has_rule);
}

const Part* Recording::before(std::size_t part) const {
  return part > 0 ? &parts_[part - 1] : nullptr;
}

std::optional<std::size_t> Recording::entry_at(ValueId value) const {
  const auto found = std::find(entries_.begin(), entries_.end(), value);
  return found == entries_.end() ? std::nullopt : std::optional<std::size_t>(found - entries_.begin());
}

void Recording::divide(const std::vector<ValueId>& checkpoints) {
  std::size_t begin = 0;
  for (const ValueId checkpoint : checkpoints) {
    const auto end = static_cast<std::size_t>(std::max(0, checkpoint - program_.n_inputs + 1));
    if (end > begin && end < program_.steps.size()) {
      parts_.push_back({begin, end, {}, {}});
      begin = end;
    }
  }
  parts_.push_back({begin, program_.steps.size(), {}, {}});
}

void Recording::note_reads() {
  for (Part& part : parts_) {
    for (std::size_t step = part.begin; step < part.end; ++step) {
      if (needed_[step]) {
        const Operation& operation = program_.steps[step].operation;
        // Whose rule is kept, an embedding too, has its table.
        for (std::string& name : varies_[step] ? parameter_names(operation) : whole_parameters(operation)) {
          if (!name.empty()) {
            part.parameters.push_back(std::move(name));
          }
        }
      }
      for (const ValueId value : program_.steps[step].inputs) {
        if (needed_[step] && value < result_of(part.begin) &&
            std::find(part.reads.begin(), part.reads.end(), value) == part.reads.end()) {
          part.reads.push_back(value);
        }
      }
    }
  }
}

/// Whether a step's result depends on an entry or on a parameter in demand.
bool Recording::depends(std::size_t step) const {
  const auto& read = program_.steps[step].inputs;
  return varies_[step] || std::any_of(read.begin(), read.end(), [&](ValueId value) { return is_active(value); });
}

/// Records the steps of a part, letting values go that nothing reads any more.
void Recording::run_forward(const Part& part, const Part* next, std::vector<at::Tensor>& values) {
  // What is deferred is held by the rules from here on, and goes with them.
  Parameters fetched;
  if (parameters_.any_deferred()) {
    fetched = parameters_.fetched(part.parameters, next != nullptr ? next->parameters : std::vector<std::string>());
  }
  const Parameters& parameters = parameters_.any_deferred() ? fetched : parameters_;
  std::vector<at::Tensor> operands;
  for (std::size_t i = part.begin; i < part.end; ++i) {
    if (!needed_[i]) {
      continue;
    }
    const Step& step = program_.steps[i];
    operands.clear();
    for (const ValueId input : step.inputs) {
      operands.push_back(values[place(input)]);
    }
    const bool keeps_rule = depends(i);
    const std::size_t result = place(result_of(i));
    if (!keeps_rule && std::holds_alternative<Embedding>(step.operation)) {
      values[result] = apply_operation(step.operation, parameters_, operands);
    } else {
      RulePtr rule = record_operation(step.operation, operands, parameters, demand_);
      values[result] = rule->take_value();
      rules_[i] = keeps_rule ? std::move(rule) : nullptr;
    }
    const auto entry = entry_at(result_of(i));
    active_[result] = keeps_rule || entry.has_value();
    shapes_[result] = shape_of(values[result]);
    if (entry) {
      activations_[*entry] = values[result];
    }
    for (const ValueId input : step.inputs) {
      if (last_read_[place(input)] == i) {
        values[place(input)] = at::Tensor();
      }
    }
  }
}

void Recording::run_backward(const Part& part, std::vector<at::Tensor>& cotangents) {
  for (std::size_t i = part.end; i-- > part.begin;) {
    const at::Tensor cotangent = std::exchange(cotangents[place(result_of(i))], {});
    if (const auto entry = entry_at(result_of(i))) {
      gradients_[*entry] = cotangent;
    }
    if (!rules_[i] || !cotangent.defined()) {
      continue;
    }
    const auto terms = rules_[i]->vjp(cotangent);
    for (std::size_t j = 0; j < terms.size(); ++j) {
      const ValueId input = program_.steps[i].inputs[j];
      if (is_active(input) && terms[j].defined()) {
        accumulate(cotangents[place(input)], terms[j]);
      }
    }
  }
}

void Recording::hold(const Part& part, const Part* next) {
  if (keeps_everything()) {
    return;
  }
  std::vector<at::Tensor> values = kept_values_;
  run_forward(part, next, values);
  std::vector<at::Tensor> cotangents(kept_cotangents_.size());
  for (std::size_t step = part.begin; step < part.end; ++step) {
    cotangents[place(result_of(step))] = kept_cotangents_[place(result_of(step))];
  }
  run_backward(part, cotangents);
}

void Recording::release(const Part& part) {
  if (!keeps_everything()) {
    std::fill(rules_.begin() + static_cast<std::ptrdiff_t>(part.begin),
              rules_.begin() + static_cast<std::ptrdiff_t>(part.end), nullptr);
  }
}

}  // namespace hessian::tape
