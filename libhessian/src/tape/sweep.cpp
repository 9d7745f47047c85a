#include "tape/sweep.h"

#include <algorithm>
#include <utility>

#include "program/program_steps.h"

namespace hessian::tape {
namespace {

/// [S, k, ...] for a value [S, ...].
std::vector<int64_t> with_slots(const at::Tensor& shape, int64_t slots) {
  auto sizes = shape.sizes().vec();
  sizes.insert(sizes.begin() + 1, slots);
  return sizes;
}

/// The first `count` slots of a tangent; those that it does not have are zero.
at::Tensor first_slots(const at::Tensor& tangent, const at::Tensor& shape, int64_t count) {
  const int64_t there = tangent.defined() ? tangent.size(1) : 0;
  if (tangent.defined() && there >= count) {
    return tangent.narrow(1, 0, count);
  }
  at::Tensor padded = at::zeros(with_slots(shape, count), shape.options());
  if (there > 0) {
    padded.narrow(1, 0, there).copy_(tangent);
  }
  return padded;
}

}  // namespace

Sweep::Sweep(Recording& recording, ParameterVectors vectors) : Sweep(recording, std::vector<TapeVectors>{}) {
  parameter_vectors_ = std::move(vectors);
}

Sweep::Sweep(Recording& recording, const std::vector<TapeVectors>& vectors)
    : recording_(recording), vectors_(vectors), products_(vectors.size()) {
  const auto& program = recording.program();
  const std::size_t values = place(program.n_inputs) + program.steps.size();
  tangents_.resize(values);
  cotangent_tangents_.resize(values);
  owned_.resize(values, false);
  carried_.resize(values, 0);
  widths_.resize(program.steps.size(), 0);
  scratch_.resize(program.steps.size());
  assign_slots();
}

void Sweep::assign_slots() {
  const int64_t sequences = recording_.losses().size(0);
  std::vector<int64_t> filled(static_cast<std::size_t>(sequences), 0);
  int64_t in_use = 0;
  for (const TapeVectors& entering : vectors_) {
    Slots slots;
    slots.before = in_use;
    ProblemIndices chosen;
    for (const int64_t sequence : entering.sequences) {
      chosen.push_back(filled[static_cast<std::size_t>(sequence)]++);
      in_use = std::max(in_use, chosen.back() + 1);
    }
    slots.after = in_use;
    ProblemIndices index;
    for (std::size_t row = 0; row < chosen.size(); ++row) {
      index.push_back(entering.sequences[row] * in_use + chosen[row]);
    }
    slots.whole = slots.before == 0 && index == all_problems(sequences * in_use);
    if (!slots.whole) {
      slots.index = at::tensor(index, at::kLong).to(entering.rows.device());
    }
    slots_.push_back(std::move(slots));
  }
}

void Sweep::enter(ValueId value, at::Tensor tangent) {
  if (const auto entry = recording_.entry_at(value); entry && !vectors_[*entry].sequences.empty()) {
    const Slots& slots = slots_[*entry];
    const at::Tensor& rows = vectors_[*entry].rows;
    const at::Tensor& shape = recording_.shape(value);
    if (slots.whole) {
      tangent = rows.reshape(with_slots(shape, slots.after));
    } else {
      // A copy in any case: the tangent may be another value's too.
      at::Tensor grown = at::zeros(with_slots(shape, slots.after), shape.options());
      if (tangent.defined()) {
        grown.narrow(1, 0, tangent.size(1)).copy_(tangent);
      }
      grown.flatten(0, 1).index_copy_(0, slots.index, rows);
      tangent = grown;
    }
  }
  carried_[place(value)] = tangent.defined() ? tangent.size(1) : 0;
  tangents_[place(value)] = std::move(tangent);
}

void Sweep::step_forward(std::size_t step) {
  at::Tensor tangent;
  const auto& inputs = recording_.program().steps[step].inputs;
  widths_[step] = 0;
  const bool varies = recording_.varies(step);
  if (recording_.rule(step) != nullptr) {
    widths_[step] = varies ? parameter_vectors_.count : 0;
    for (const ValueId input : inputs) {
      widths_[step] = std::max(widths_[step], carried_[place(input)]);
    }
  }
  if (widths_[step] > 0) {
    std::vector<at::Tensor> operands;
    for (const ValueId input : inputs) {
      const at::Tensor& shape = recording_.shape(input);
      const bool moves = shape.is_floating_point() && (!varies || carried_[place(input)] > 0);
      operands.push_back(moves ? first_slots(tangents_[place(input)], shape, widths_[step]) : at::Tensor());
    }
    for (const ValueId input : inputs) {
      if (recording_.last_use(input) == step) {
        tangents_[place(input)] = at::Tensor();
      }
    }
    const Rule& rule = *recording_.rule(step);
    tangent = varies ? rule.parametric_jvp(operands, parameter_tangents(step), scratch_[step])
                     : rule.jvp(operands, scratch_[step]);
  }
  enter(recording_.result_of(step), std::move(tangent));
}

void Sweep::run_forward(const Part& part) {
  for (std::size_t step = part.begin; step < part.end; ++step) {
    step_forward(step);
  }
}

/// The tangent of a value's cotangent in the slots that were in use before it; the vectors that entered there are done.
at::Tensor Sweep::leave(ValueId value) {
  at::Tensor tangent = std::exchange(cotangent_tangents_[place(value)], {});
  const auto entry = recording_.entry_at(value);
  if (!entry || vectors_[*entry].sequences.empty()) {
    return tangent;
  }
  const Slots& slots = slots_[*entry];
  const at::Tensor& rows = vectors_[*entry].rows;
  if (!tangent.defined()) {
    products_[*entry] = at::zeros_like(rows);
    return tangent;
  }
  const at::Tensor all = tangent.narrow(1, 0, slots.after);
  products_[*entry] = slots.whole ? all.reshape(rows.sizes()) : all.flatten(0, 1).index_select(0, slots.index);
  return slots.before > 0 ? tangent.narrow(1, 0, slots.before) : at::Tensor();
}

/// Of the parameters that a step reads; undefined where one is not in demand.
std::vector<at::Tensor> Sweep::parameter_tangents(std::size_t step) const {
  std::vector<at::Tensor> tangents;
  for (const std::string& name : parameter_names(recording_.program().steps[step].operation)) {
    tangents.push_back(recording_.demand().varies(name) ? parameter_vectors_.tangents.at(name) : at::Tensor());
  }
  return tangents;
}

void Sweep::add_parameter_terms(std::size_t step, const std::vector<at::Tensor>& terms) {
  const auto names = parameter_names(recording_.program().steps[step].operation);
  for (std::size_t i = 0; i < names.size(); ++i) {
    if (!terms[i].defined()) {
      continue;
    }
    const at::Tensor& product = parameter_vectors_.products.at(names[i]);
    if (written_.insert(names[i]).second) {
      product.copy_(terms[i]);
    } else {
      product.add_(terms[i]);
    }
  }
}

void Sweep::add_cotangent_tangent(ValueId value, const at::Tensor& term) {
  at::Tensor& sum = cotangent_tangents_[place(value)];
  if (!sum.defined()) {
    sum = term;
    owned_[place(value)] = false;
  } else if (owned_[place(value)]) {
    sum.add_(term);
  } else {
    sum = sum + term;
    owned_[place(value)] = true;
  }
}

void Sweep::step_backward(std::size_t step) {
  const ValueId result = recording_.result_of(step);
  at::Tensor tangent = leave(result);
  // Nothing enters at the output: its cotangent is 1 whatever the vectors are.
  if (widths_[step] == 0 || (!tangent.defined() && result != recording_.program().output)) {
    return;
  }
  if (tangent.defined()) {
    tangent = tangent.narrow(1, 0, widths_[step]);
  }
  std::vector<at::Tensor> terms;
  if (recording_.varies(step)) {
    auto both = recording_.rule(step)->parametric_vjp_tangent(tangent, parameter_tangents(step), scratch_[step]);
    add_parameter_terms(step, both.parameters);
    terms = std::move(both.inputs);
  } else {
    terms = recording_.rule(step)->vjp_tangent(tangent, scratch_[step]);
  }
  scratch_[step].clear();
  tangent = at::Tensor();
  for (std::size_t j = 0; j < terms.size(); ++j) {
    const ValueId input = recording_.program().steps[step].inputs[j];
    if (carried_[place(input)] > 0) {
      add_cotangent_tangent(input, terms[j].narrow(1, 0, carried_[place(input)]));
    }
  }
}

void Sweep::run_backward(const Part& part) {
  for (std::size_t step = part.end; step-- > part.begin;) {
    step_backward(step);
  }
}

std::vector<at::Tensor> Sweep::run() {
  const Program& program = recording_.program();
  const auto& parts = recording_.parts();
  for (std::size_t entry = 0; entry < vectors_.size(); ++entry) {
    products_[entry] = vectors_[entry].rows;  // where no vector enters, there is no product either
  }
  for (ValueId input = 0; input < program.n_inputs; ++input) {
    enter(input, {});
  }
  // What a part that is made again starts from. The last part is still there when the way back begins.
  std::vector<std::vector<at::Tensor>> starts(parts.size());
  for (std::size_t i = 0; i < parts.size(); ++i) {
    const Part& part = parts[i];
    const bool last = i + 1 == parts.size();
    for (const ValueId value : part.reads) {
      starts[i].push_back(last ? at::Tensor() : tangents_[place(value)]);
    }
    const Part* before = i > 0 ? &parts[i - 1] : nullptr;
    recording_.hold(part, last ? before : &parts[i + 1]);
    run_forward(part);
    if (!last) {
      std::fill(scratch_.begin() + static_cast<std::ptrdiff_t>(part.begin),
                scratch_.begin() + static_cast<std::ptrdiff_t>(part.end), Scratch());
      recording_.release(part);
    }
  }
  std::fill(tangents_.begin(), tangents_.end(), at::Tensor());
  for (std::size_t i = parts.size(); i-- > 0;) {
    const Part& part = parts[i];
    if (i + 1 < parts.size()) {
      for (std::size_t j = 0; j < part.reads.size(); ++j) {
        tangents_[place(part.reads[j])] = std::move(starts[i][j]);
      }
      recording_.hold(part, i > 0 ? &parts[i - 1] : nullptr);
      run_forward(part);
      std::fill(tangents_.begin(), tangents_.end(), at::Tensor());
    }
    run_backward(part);
    recording_.release(part);
  }
  for (ValueId input = 0; input < program.n_inputs; ++input) {
    leave(input);
  }
  for (const auto& [name, product] : parameter_vectors_.products) {
    if (!written_.contains(name)) {
      product.zero_();  // nothing that the output depends on reads it
    }
  }
  return std::move(products_);
}

}  // namespace hessian::tape
