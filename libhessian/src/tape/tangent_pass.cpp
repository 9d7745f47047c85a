#include "tape/tangent_pass.h"

#include <algorithm>
#include <utility>

namespace hessian::tape {
namespace {

/// Returns the sizes [S, slots, ...] of a tangent of a value [S, ...].
std::vector<int64_t> with_slots(const at::Tensor& shape, int64_t slots) {
  auto sizes = shape.sizes().vec();
  sizes.insert(sizes.begin() + 1, slots);
  return sizes;
}

/// Returns the first `count` slots of a tangent; slots that it does not have are zero.
at::Tensor first_slots(const at::Tensor& tangent, const at::Tensor& shape, int64_t count) {
  const int64_t filled = tangent.defined() ? tangent.size(1) : 0;
  if (tangent.defined() && filled >= count) {
    return tangent.narrow(1, 0, count);
  }
  at::Tensor padded = at::zeros(with_slots(shape, count), shape.options());
  if (filled > 0) {
    padded.narrow(1, 0, filled).copy_(tangent);
  }
  return padded;
}

}  // namespace

TangentPass::TangentPass(RecordedProgram& recorded, ParameterVectors vectors)
    : TangentPass(recorded, std::vector<TapeVectors>{}) {
  parameter_vectors_ = std::move(vectors);
}

TangentPass::TangentPass(RecordedProgram& recorded, const std::vector<TapeVectors>& vectors)
    : recorded_(recorded), vectors_(vectors), products_(vectors.size()) {
  const auto& program = recorded.program();
  const std::size_t values = place(program.n_inputs) + program.steps.size();
  tangents_.resize(values);
  cotangent_tangents_.resize(values);
  owned_.resize(values, false);
  carried_.resize(values, 0);
  widths_.resize(program.steps.size(), 0);
  scratch_.resize(program.steps.size());
  assign_slots();
}

void TangentPass::assign_slots() {
  const int64_t sequences = recorded_.losses().size(0);
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

/// Sets the tangent of a value, with the vectors that enter there.
void TangentPass::enter(ValueId value, at::Tensor tangent) {
  if (const auto entry = recorded_.entry_of(value); entry && !vectors_[*entry].sequences.empty()) {
    const Slots& slots = slots_[*entry];
    const at::Tensor& rows = vectors_[*entry].rows;
    const at::Tensor& shape = recorded_.shape(value);
    if (slots.whole) {
      tangent = rows.reshape(with_slots(shape, slots.after));
    } else {
      // Always a copy: another value may share the tangent.
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

void TangentPass::step_forward(std::size_t step) {
  at::Tensor tangent;
  const auto& inputs = recorded_.program().steps[step].inputs;
  widths_[step] = 0;
  const bool varies = recorded_.varies(step);
  if (recorded_.rule(step) != nullptr) {
    widths_[step] = varies ? parameter_vectors_.count : 0;
    for (const ValueId input : inputs) {
      widths_[step] = std::max(widths_[step], carried_[place(input)]);
    }
  }
  if (widths_[step] > 0) {
    std::vector<at::Tensor> operands;
    for (const ValueId input : inputs) {
      const at::Tensor& shape = recorded_.shape(input);
      const bool moves = shape.is_floating_point() && (!varies || carried_[place(input)] > 0);
      operands.push_back(moves ? first_slots(tangents_[place(input)], shape, widths_[step]) : at::Tensor());
    }
    for (const ValueId input : inputs) {
      if (recorded_.last_use(input) == step) {
        tangents_[place(input)] = at::Tensor();
      }
    }
    const Rule& rule = *recorded_.rule(step);
    tangent = varies ? rule.parametric_jvp(operands, parameter_vectors_.tangents, scratch_[step])
                     : rule.jvp(operands, scratch_[step]);
  }
  enter(recorded_.result_of(step), std::move(tangent));
}

void TangentPass::run_forward(const Segment& segment) {
  for (std::size_t step = segment.begin; step < segment.end; ++step) {
    step_forward(step);
  }
}

/// Reads the products of the vectors that entered at a value, and returns the tangent of its cotangent in the slots that
/// were in use before it.
at::Tensor TangentPass::leave(ValueId value) {
  at::Tensor tangent = std::exchange(cotangent_tangents_[place(value)], {});
  const auto entry = recorded_.entry_of(value);
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

void TangentPass::add_parameter_terms(const Parameters& terms) {
  for (const auto& [name, term] : terms) {
    const at::Tensor& product = parameter_vectors_.products.at(name);
    if (written_.insert(name).second) {
      product.copy_(term);
    } else {
      product.add_(term);
    }
  }
}

void TangentPass::add_cotangent_tangent(ValueId value, const at::Tensor& term) {
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

void TangentPass::step_backward(std::size_t step) {
  const ValueId result = recorded_.result_of(step);
  at::Tensor tangent = leave(result);
  // The output's cotangent is 1 for all vectors, so its tangent is undefined.
  if (widths_[step] == 0 || (!tangent.defined() && result != recorded_.program().output)) {
    return;
  }
  if (tangent.defined()) {
    tangent = tangent.narrow(1, 0, widths_[step]);
  }
  std::vector<at::Tensor> terms;
  if (recorded_.varies(step)) {
    auto both = recorded_.rule(step)->parametric_vjp_tangent(tangent, parameter_vectors_.tangents, scratch_[step]);
    add_parameter_terms(both.parameters);
    terms = std::move(both.inputs);
  } else {
    terms = recorded_.rule(step)->vjp_tangent(tangent, scratch_[step]);
  }
  scratch_[step].clear();
  tangent = at::Tensor();
  for (std::size_t j = 0; j < terms.size(); ++j) {
    const ValueId input = recorded_.program().steps[step].inputs[j];
    if (carried_[place(input)] > 0) {
      add_cotangent_tangent(input, terms[j].narrow(1, 0, carried_[place(input)]));
    }
  }
}

void TangentPass::run_backward(const Segment& segment) {
  for (std::size_t step = segment.end; step-- > segment.begin;) {
    step_backward(step);
  }
}

std::vector<at::Tensor> TangentPass::run() {
  const Program& program = recorded_.program();
  for (std::size_t entry = 0; entry < vectors_.size(); ++entry) {
    products_[entry] = vectors_[entry].rows;  // remains so, empty, if no vector enters there
  }
  for (ValueId input = 0; input < program.n_inputs; ++input) {
    enter(input, {});
  }
  run_forward();
  std::fill(tangents_.begin(), tangents_.end(), at::Tensor());
  run_backward();
  for (ValueId input = 0; input < program.n_inputs; ++input) {
    leave(input);
  }
  clear_untouched_products();
  return std::move(products_);
}

/// Runs all segments forward. Leaves the rules and the scratch of the last one, with which the backward half begins.
void TangentPass::run_forward() {
  const auto& segments = recorded_.segments();
  starts_.resize(segments.size());
  for (std::size_t i = 0; i < segments.size(); ++i) {
    const Segment& segment = segments[i];
    if (i + 1 == segments.size()) {
      recorded_.compute_rules(segment, Use::tangents, i > 0 ? &segments[i - 1] : nullptr);
      run_forward(segment);
      return;
    }
    for (const ValueId value : segment.reads) {
      starts_[i].push_back(tangents_[place(value)]);
    }
    recorded_.compute_rules(segment, Use::jvp, &segments[i + 1]);
    run_forward(segment);
    std::fill(scratch_.begin() + static_cast<std::ptrdiff_t>(segment.begin),
              scratch_.begin() + static_cast<std::ptrdiff_t>(segment.end), Scratch());
    recorded_.release_rules(segment);
  }
}

/// Runs all segments backward, after recomputing the rules and the tangents of every segment but the last.
void TangentPass::run_backward() {
  const auto& segments = recorded_.segments();
  for (std::size_t i = segments.size(); i-- > 0;) {
    const Segment& segment = segments[i];
    if (i + 1 < segments.size()) {
      for (std::size_t j = 0; j < segment.reads.size(); ++j) {
        tangents_[place(segment.reads[j])] = std::move(starts_[i][j]);
      }
      recorded_.compute_rules(segment, Use::tangents, i > 0 ? &segments[i - 1] : nullptr);
      run_forward(segment);
      std::fill(tangents_.begin(), tangents_.end(), at::Tensor());
    }
    run_backward(segment);
    recorded_.release_rules(segment);
  }
}

/// Sets the products of parameters that the output does not depend on to zero.
void TangentPass::clear_untouched_products() {
  for (const auto& [name, product] : parameter_vectors_.products) {
    if (!written_.contains(name)) {
      product.zero_();
    }
  }
}

}  // namespace hessian::tape
