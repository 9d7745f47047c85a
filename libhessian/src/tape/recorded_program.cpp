#include "tape/recorded_program.h"

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

/// Adds a term to a sum that may still be undefined. Not in place: the tensors may be shared with other sums.
void accumulate(at::Tensor& sum, const at::Tensor& term) {
  sum = sum.defined() ? sum + term : term;
}

}  // namespace

RecordedProgram::RecordedProgram(Program program, Parameters parameters, const std::vector<at::Tensor>& inputs,
                                 std::vector<ValueId> entries, const std::vector<ValueId>& checkpoints, Demand demand)
    : program_(std::move(program)),
      parameters_(std::move(parameters)),
      demand_(std::move(demand)),
      entries_(std::move(entries)) {
  analyse(checkpoints);
  record_forward(inputs);
  check_losses(inputs.front().size(0));
  record_backward();
}

void RecordedProgram::analyse(const std::vector<ValueId>& checkpoints) {
  needed_ = needed_steps(program_, [](ValueId) { return false; });
  last_read_ = last_uses(program_, needed_);
  find_active_values();
  last_use_ = last_uses(program_, has_rule_);
  divide_into_segments(checkpoints);
  for (Segment& segment : segments_) {
    find_reads(segment);
  }
}

void RecordedProgram::find_active_values() {
  active_.resize(place(program_.n_inputs) + program_.steps.size(), false);
  for (ValueId input = 0; input < program_.n_inputs; ++input) {
    active_[place(input)] = entry_of(input).has_value();
  }
  for (std::size_t i = 0; i < program_.steps.size(); ++i) {
    const Step& step = program_.steps[i];
    varies_.push_back(demand_.varies_any(parameter_names(step.operation)));
    const bool depends = varies_[i] || std::any_of(step.inputs.begin(), step.inputs.end(),
                                                   [&](ValueId value) { return is_active(value); });
    has_rule_.push_back(needed_[i] && depends);
    active_[place(result_of(i))] = needed_[i] && (depends || entry_of(result_of(i)).has_value());
  }
}

void RecordedProgram::divide_into_segments(const std::vector<ValueId>& checkpoints) {
  std::size_t begin = 0;
  for (const ValueId checkpoint : checkpoints) {
    const auto end = static_cast<std::size_t>(std::max(0, checkpoint - program_.n_inputs + 1));
    if (end > begin && end < program_.steps.size()) {
      segments_.push_back({begin, end, {}, {}});
      begin = end;
    }
  }
  segments_.push_back({begin, program_.steps.size(), {}, {}});
}

void RecordedProgram::find_reads(Segment& segment) const {
  for (std::size_t step = segment.begin; step < segment.end; ++step) {
    if (!needed_[step]) {
      continue;
    }
    const Operation& operation = program_.steps[step].operation;
    // A rule keeps all parameters of its step, the table of an embedding included; other embeddings read rows.
    for (std::string& name : varies_[step] ? parameter_names(operation) : whole_parameters(operation)) {
      segment.parameters.push_back(std::move(name));
    }
    for (const ValueId value : program_.steps[step].inputs) {
      if (value < result_of(segment.begin) &&
          std::find(segment.reads.begin(), segment.reads.end(), value) == segment.reads.end()) {
        segment.reads.push_back(value);
      }
    }
  }
}

std::optional<std::size_t> RecordedProgram::entry_of(ValueId value) const {
  const auto found = std::find(entries_.begin(), entries_.end(), value);
  return found == entries_.end() ? std::nullopt : std::optional<std::size_t>(found - entries_.begin());
}

/// Computes losses, shapes and activations, keeps what the segments read, and leaves the rules of the last segment in
/// place.
void RecordedProgram::record_forward(const std::vector<at::Tensor>& inputs) {
  std::vector<at::Tensor> values = inputs;
  values.resize(active_.size());
  shapes_.resize(values.size());
  rules_.resize(program_.steps.size());
  kept_values_.resize(values.size());
  activations_.resize(entries_.size());
  for (ValueId input = 0; input < program_.n_inputs; ++input) {
    shapes_[place(input)] = shape_of(values[place(input)]);
    if (const auto entry = entry_of(input)) {
      activations_[*entry] = values[place(input)];
    }
  }
  for (std::size_t i = 0; i < segments_.size(); ++i) {
    const Segment& segment = segments_[i];
    const bool last = i + 1 == segments_.size();
    for (const ValueId value : segment.reads) {
      if (!keeps_everything()) {
        kept_values_[place(value)] = values[place(value)];
      }
    }
    run_forward(segment, last ? before(i) : &segments_[i + 1], values);
    if (!last) {
      release_rules(segment);
    }
  }
  losses_ = values[place(program_.output)];
}

void RecordedProgram::check_losses(int64_t sequences) const {
  for (std::size_t entry = 0; entry < entries_.size(); ++entry) {
    if (!activations_[entry].defined()) {
      refuse_entry(entries_[entry]);
    }
  }
  if (losses_.dim() != 1 || losses_.size(0) != sequences) {
    throw std::invalid_argument("the program's output is " + c10::str(losses_.sizes()) +
                                ", expected one loss for each of " + std::to_string(sequences) + " sequences");
  }
}

/// Computes gradients, and keeps the cotangents that each segment starts from.
void RecordedProgram::record_backward() {
  std::vector<at::Tensor> cotangents(active_.size());
  kept_cotangents_.resize(cotangents.size());
  gradients_.resize(entries_.size());
  cotangents[place(program_.output)] = at::ones_like(losses_);
  for (std::size_t i = segments_.size(); i-- > 0;) {
    const Segment& segment = segments_[i];
    for (std::size_t step = segment.begin; step < segment.end; ++step) {
      kept_cotangents_[place(result_of(step))] = cotangents[place(result_of(step))];
    }
    if (i + 1 < segments_.size()) {
      std::vector<at::Tensor> values = kept_values_;
      run_forward(segment, before(i), values);
    }
    run_backward(segment, cotangents);
    release_rules(segment);
  }
  for (std::size_t entry = 0; entry < entries_.size(); ++entry) {
    if (entries_[entry] < program_.n_inputs) {
      gradients_[entry] = cotangents[place(entries_[entry])];
    }
    if (!gradients_[entry].defined()) {
      refuse_entry(entries_[entry]);
    }
  }
}

/// Records the steps of a segment and releases values after their last use.
void RecordedProgram::run_forward(const Segment& segment, const Segment* next, std::vector<at::Tensor>& values) {
  // The rules share the parameters fetched here, which are released together with the rules.
  Parameters fetched;
  if (parameters_.any_deferred()) {
    fetched = parameters_.fetched(segment.parameters, next != nullptr ? next->parameters : std::vector<std::string>());
  }
  const Parameters& parameters = parameters_.any_deferred() ? fetched : parameters_;
  std::vector<at::Tensor> operands;
  for (std::size_t i = segment.begin; i < segment.end; ++i) {
    if (!needed_[i]) {
      continue;
    }
    const Step& step = program_.steps[i];
    operands.clear();
    for (const ValueId input : step.inputs) {
      operands.push_back(values[place(input)]);
    }
    at::Tensor& result = values[place(result_of(i))];
    if (!has_rule_[i] && std::holds_alternative<Embedding>(step.operation)) {
      result = apply_operation(step.operation, parameters_, operands);
    } else {
      RulePtr rule = record_operation(step.operation, operands, parameters, demand_);
      result = rule->take_value();
      rules_[i] = has_rule_[i] ? std::move(rule) : nullptr;
    }
    shapes_[place(result_of(i))] = shape_of(result);
    if (const auto entry = entry_of(result_of(i))) {
      activations_[*entry] = result;
    }
    for (const ValueId input : step.inputs) {
      if (last_read_[place(input)] == i) {
        values[place(input)] = at::Tensor();
      }
    }
  }
}

void RecordedProgram::run_backward(const Segment& segment, std::vector<at::Tensor>& cotangents) {
  for (std::size_t i = segment.end; i-- > segment.begin;) {
    const at::Tensor cotangent = std::exchange(cotangents[place(result_of(i))], {});
    if (const auto entry = entry_of(result_of(i))) {
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

/// Returns whether the segment contains a cross-entropy, which computes both of its tangents in jvp() and needs its
/// cotangent there.
bool RecordedProgram::jvp_needs_cotangents(const Segment& segment) const {
  for (std::size_t step = segment.begin; step < segment.end; ++step) {
    if (rules_[step] && std::holds_alternative<CrossEntropyHead>(program_.steps[step].operation)) {
      return true;
    }
  }
  return false;
}

void RecordedProgram::compute_rules(const Segment& segment, Use use, const Segment* next) {
  if (keeps_everything()) {
    return;
  }
  std::vector<at::Tensor> values = kept_values_;
  run_forward(segment, next, values);
  if (use == Use::jvp && !jvp_needs_cotangents(segment)) {
    return;
  }
  std::vector<at::Tensor> cotangents(kept_cotangents_.size());
  for (std::size_t step = segment.begin; step < segment.end; ++step) {
    cotangents[place(result_of(step))] = kept_cotangents_[place(result_of(step))];
  }
  run_backward(segment, cotangents);
}

void RecordedProgram::release_rules(const Segment& segment) {
  if (!keeps_everything()) {
    std::fill(rules_.begin() + static_cast<std::ptrdiff_t>(segment.begin),
              rules_.begin() + static_cast<std::ptrdiff_t>(segment.end), nullptr);
  }
}

}  // namespace hessian::tape
