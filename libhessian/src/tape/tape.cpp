#include "hessian/tape.h"

#include <c10/core/GradMode.h>

#include <algorithm>
#include <functional>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>

#include "hessian/evaluate.h"
#include "program_steps.h"
#include "tape/rule.h"

namespace hessian {
namespace {

std::size_t place(ValueId value) {
  return static_cast<std::size_t>(value);
}

/// Adds a term to a sum that has none yet where it is undefined. Terms may be shared: nothing is added in place.
void accumulate(at::Tensor& sum, const at::Tensor& term) {
  sum = sum.defined() ? sum + term : term;
}

/// Zeros of an activation's shape that take no memory.
at::Tensor shape_of(const at::Tensor& x) {
  return at::zeros({}, x.options()).expand(x.sizes());
}

/// The first `count` vectors of a tangent; those that it does not have are zero.
at::Tensor first_vectors(const at::Tensor& tangent, const at::Tensor& shape, int64_t count) {
  const int64_t there = tangent.defined() ? tangent.size(1) : 0;
  if (there >= count) {
    return tangent.narrow(1, 0, count);
  }
  auto sizes = shape.sizes().vec();
  sizes.insert(sizes.begin() + 1, count - there);
  const at::Tensor zeros = at::zeros(sizes, shape.options());
  return there == 0 ? zeros : at::cat({tangent, zeros}, 1);
}

/// How many vectors a tangent holds.
int64_t vectors_in(const at::Tensor& tangent) {
  return tangent.defined() ? tangent.size(1) : 0;
}

[[noreturn]] void refuse_entry(ValueId entry) {
  throw std::invalid_argument("the program's output does not depend on value " + std::to_string(entry));
}

}  // namespace

struct Tape::Recording {
  Program program;
  std::vector<ValueId> entries;
  at::Tensor losses;
  std::vector<at::Tensor> activations;  // at each entry
  std::vector<at::Tensor> gradients;    // with respect to them
  std::vector<at::Tensor> shapes;       // of every value
  std::vector<bool> active;             // whether a value depends on an entry or is one
  std::vector<tape::RulePtr> rules;     // of the steps whose inputs are active

  ValueId result_of(std::size_t step) const { return program.n_inputs + static_cast<ValueId>(step); }

  /// The place of a value among the entries, if it is one.
  std::optional<std::size_t> entry_at(ValueId value) const {
    const auto found = std::find(entries.begin(), entries.end(), value);
    return found == entries.end() ? std::nullopt : std::optional<std::size_t>(found - entries.begin());
  }

  void run_forward(const Parameters& parameters, const std::vector<at::Tensor>& inputs);
  void run_backward();
};

/// One product: the vectors of all entries, in their order, side by side. A value's tangent holds those that have
/// entered before it; the others are zero there, and nobody asks for the tangents of their gradients.
class Tape::Sweep {
 public:
  Sweep(const Recording& recording, const std::vector<at::Tensor>& vectors);
  std::vector<at::Tensor> run();

 private:
  void enter(ValueId value, at::Tensor tangent);
  void step_forward(std::size_t step);
  void step_backward(std::size_t step);
  at::Tensor leave(ValueId value);

  const Recording& recording_;
  const std::vector<at::Tensor>& vectors_;
  std::vector<int64_t> begins_;       // place of each entry's first vector among all
  std::vector<at::Tensor> tangents_;  // of values, then of cotangents
  std::vector<int64_t> carried_;      // how many vectors the tangent of each value holds
  std::vector<int64_t> widths_;       // how many vectors each step was given
  std::vector<std::size_t> last_;     // step that reads each value last
  std::vector<tape::Scratch> scratch_;
  std::vector<at::Tensor> products_;
};

void Tape::Recording::run_forward(const Parameters& parameters, const std::vector<at::Tensor>& inputs) {
  const auto needed = needed_steps(program, [](ValueId) { return false; });
  std::vector<at::Tensor> values = inputs;
  values.resize(inputs.size() + program.steps.size());
  active.resize(values.size(), false);
  shapes.resize(values.size());
  rules.resize(program.steps.size());
  for (ValueId input = 0; input < program.n_inputs; ++input) {
    active[place(input)] = entry_at(input).has_value();
    shapes[place(input)] = shape_of(values[place(input)]);
  }
  std::vector<at::Tensor> operands;
  for (std::size_t i = 0; i < program.steps.size(); ++i) {
    if (!needed[i]) {
      continue;
    }
    const Step& step = program.steps[i];
    operands.clear();
    bool depends = false;
    for (const ValueId input : step.inputs) {
      operands.push_back(values[place(input)]);
      depends = depends || active[place(input)];
    }
    const std::size_t result = place(result_of(i));
    if (depends) {
      rules[i] = tape::record_operation(step.operation, operands, parameters);
      values[result] = rules[i]->take_value();
    } else {
      values[result] = apply_operation(step.operation, parameters, operands);
    }
    active[result] = depends || entry_at(result_of(i)).has_value();
    shapes[result] = shape_of(values[result]);
  }
  for (const ValueId entry : entries) {
    activations.push_back(values[place(entry)]);
    if (!activations.back().defined()) {
      refuse_entry(entry);
    }
  }
  losses = values[place(program.output)];
}

void Tape::Recording::run_backward() {
  std::vector<at::Tensor> cotangents(shapes.size());
  cotangents[place(program.output)] = at::ones_like(losses);
  gradients.resize(entries.size());
  for (std::size_t i = rules.size(); i-- > 0;) {
    const at::Tensor cotangent = std::exchange(cotangents[place(result_of(i))], {});
    if (const auto entry = entry_at(result_of(i))) {
      gradients[*entry] = cotangent;
    }
    if (!rules[i] || !cotangent.defined()) {
      continue;
    }
    const auto terms = rules[i]->vjp(cotangent);
    for (std::size_t j = 0; j < terms.size(); ++j) {
      const std::size_t input = place(program.steps[i].inputs[j]);
      if (active[input] && terms[j].defined()) {
        accumulate(cotangents[input], terms[j]);
      }
    }
  }
  for (std::size_t entry = 0; entry < entries.size(); ++entry) {
    if (entries[entry] < program.n_inputs) {
      gradients[entry] = cotangents[place(entries[entry])];
    }
    if (!gradients[entry].defined()) {
      refuse_entry(entries[entry]);
    }
  }
}

Tape::Sweep::Sweep(const Recording& recording, const std::vector<at::Tensor>& vectors)
    : recording_(recording),
      vectors_(vectors),
      tangents_(recording.shapes.size()),
      carried_(recording.shapes.size(), 0),
      widths_(recording.rules.size(), 0),
      scratch_(recording.rules.size()),
      products_(vectors.size()) {
  int64_t begin = 0;
  for (const at::Tensor& entering : vectors) {
    begins_.push_back(begin);
    begin += entering.size(1);
  }
  std::vector<bool> tracked;
  for (const auto& rule : recording.rules) {
    tracked.push_back(rule != nullptr);
  }
  last_ = last_uses(recording.program, tracked);
}

/// Adds the vectors that enter at a value behind those that have entered before.
void Tape::Sweep::enter(ValueId value, at::Tensor tangent) {
  if (const auto entry = recording_.entry_at(value)) {
    const int64_t begin = begins_[*entry];
    tangent = begin == 0
                  ? vectors_[*entry]
                  : at::cat({first_vectors(tangent, recording_.shapes[place(value)], begin), vectors_[*entry]}, 1);
  }
  carried_[place(value)] = vectors_in(tangent);
  tangents_[place(value)] = std::move(tangent);
}

void Tape::Sweep::step_forward(std::size_t step) {
  at::Tensor tangent;
  if (recording_.rules[step]) {
    const auto& inputs = recording_.program.steps[step].inputs;
    for (const ValueId input : inputs) {
      widths_[step] = std::max(widths_[step], carried_[place(input)]);
    }
    std::vector<at::Tensor> operands;
    for (const ValueId input : inputs) {
      const at::Tensor& shape = recording_.shapes[place(input)];
      operands.push_back(shape.is_floating_point() ? first_vectors(tangents_[place(input)], shape, widths_[step])
                                                   : at::Tensor());
    }
    for (const ValueId input : inputs) {
      if (last_[place(input)] == step) {
        tangents_[place(input)] = at::Tensor();
      }
    }
    tangent = recording_.rules[step]->jvp(operands, scratch_[step]);
  }
  enter(recording_.result_of(step), std::move(tangent));
}

/// The tangent of a value's cotangent for the vectors that had entered before it; those that entered there are done.
at::Tensor Tape::Sweep::leave(ValueId value) {
  at::Tensor tangent = std::exchange(tangents_[place(value)], {});
  const auto entry = recording_.entry_at(value);
  if (!entry) {
    return tangent;
  }
  const int64_t begin = begins_[*entry];
  const int64_t count = vectors_[*entry].size(1);
  products_[*entry] = tangent.defined() ? tangent.narrow(1, begin, count) : at::zeros_like(vectors_[*entry]);
  return begin > 0 && tangent.defined() ? tangent.narrow(1, 0, begin) : at::Tensor();
}

void Tape::Sweep::step_backward(std::size_t step) {
  const ValueId result = recording_.result_of(step);
  at::Tensor tangent = leave(result);
  const auto& rule = recording_.rules[step];
  // Nothing enters at the output: its cotangent is 1 whatever the vectors are.
  if (!rule || widths_[step] == 0 || (!tangent.defined() && result != recording_.program.output)) {
    return;
  }
  if (tangent.defined()) {
    tangent = tangent.narrow(1, 0, widths_[step]);
  }
  const auto terms = rule->vjp_tangent(tangent, scratch_[step]);
  scratch_[step].clear();
  for (std::size_t j = 0; j < terms.size(); ++j) {
    const std::size_t input = place(recording_.program.steps[step].inputs[j]);
    if (carried_[input] > 0) {
      accumulate(tangents_[input], terms[j].narrow(1, 0, carried_[input]));
    }
  }
}

std::vector<at::Tensor> Tape::Sweep::run() {
  const Program& program = recording_.program;
  for (ValueId input = 0; input < program.n_inputs; ++input) {
    enter(input, {});
  }
  for (std::size_t step = 0; step < program.steps.size(); ++step) {
    step_forward(step);
  }
  std::fill(tangents_.begin(), tangents_.end(), at::Tensor());
  for (std::size_t step = program.steps.size(); step-- > 0;) {
    step_backward(step);
  }
  for (ValueId input = 0; input < program.n_inputs; ++input) {
    leave(input);
  }
  return std::move(products_);
}

Tape::Tape(const Program& program, const Parameters& parameters, const std::vector<at::Tensor>& inputs,
           std::vector<ValueId> entries)
    : recording_(std::make_unique<Recording>()) {
  const bool ascending = std::adjacent_find(entries.begin(), entries.end(), std::greater_equal<>()) == entries.end();
  const auto values = program.n_inputs + static_cast<ValueId>(program.steps.size());
  if (inputs.empty() || inputs.size() != static_cast<std::size_t>(program.n_inputs) || entries.empty() || !ascending ||
      entries.front() < 0 || entries.back() >= values) {
    throw std::invalid_argument("a tape takes a tensor for each input, and entries that are values in ascending order");
  }
  const c10::NoGradGuard no_grad;
  recording_->program = program;
  recording_->entries = std::move(entries);
  recording_->run_forward(parameters, inputs);
  if (losses().dim() != 1 || losses().size(0) != inputs.front().size(0)) {
    throw std::invalid_argument("the program's output is " + c10::str(losses().sizes()) +
                                ", expected one loss for each of " + std::to_string(inputs.front().size(0)) +
                                " sequences");
  }
  recording_->run_backward();
}

Tape::Tape(Tape&&) noexcept = default;
Tape& Tape::operator=(Tape&&) noexcept = default;
Tape::~Tape() = default;

const at::Tensor& Tape::losses() const {
  return recording_->losses;
}

const at::Tensor& Tape::activation(std::size_t entry) const {
  return recording_->activations.at(entry);
}

const at::Tensor& Tape::gradient(std::size_t entry) const {
  return recording_->gradients.at(entry);
}

std::vector<at::Tensor> Tape::apply(const std::vector<at::Tensor>& vectors) const {
  if (vectors.size() != recording_->entries.size()) {
    throw std::invalid_argument("the tape has " + std::to_string(recording_->entries.size()) + " entries, not " +
                                std::to_string(vectors.size()));
  }
  for (std::size_t entry = 0; entry < vectors.size(); ++entry) {
    const at::Tensor& x = activation(entry);
    if (vectors[entry].dim() != x.dim() + 1 || vectors[entry].select(1, 0).sizes() != x.sizes()) {
      throw std::invalid_argument("vectors are " + c10::str(vectors[entry].sizes()) + ", expected [S, k, ...] for " +
                                  c10::str(x.sizes()));
    }
  }
  const c10::NoGradGuard no_grad;
  return Sweep(*recording_, vectors).run();
}

}  // namespace hessian
