#include "hessian/parameter_tape.h"

#include <c10/core/GradMode.h>

#include <stdexcept>
#include <utility>

#include "hessian/parameter_selection.h"
#include "program/program_steps.h"
#include "tape/arguments.h"
#include "tape/recorded_program.h"
#include "tape/tangent_pass.h"

namespace hessian {
namespace {

/// Checks that all parameters and activations have the precision of `first`.
void check_equal_precision(const Parameters& parameters, const std::vector<at::Tensor>& inputs,
                           const at::Tensor& first) {
  const auto differs = [&](const at::Tensor& tensor) { return tensor.scalar_type() != first.scalar_type(); };
  for (const auto& [name, tensor] : parameters) {
    if (differs(tensor)) {
      throw std::invalid_argument("parameter '" + name + "' is " + c10::toString(tensor.scalar_type()) +
                                  ", others are " + c10::toString(first.scalar_type()) +
                                  "; all parameters must have the same precision");
    }
  }
  for (const at::Tensor& input : inputs) {
    if (input.is_floating_point() && differs(input)) {
      throw std::invalid_argument("an input is " + std::string(c10::toString(input.scalar_type())) +
                                  ", the parameters are " + c10::toString(first.scalar_type()));
    }
  }
}

/// Returns whether a step that the output needs reads one of the parameters.
bool reads_any(const Program& program, const tape::Demand& demand) {
  const std::vector<bool> needed = needed_steps(program, [](ValueId) { return false; });
  for (std::size_t step = 0; step < needed.size(); ++step) {
    if (needed[step] && demand.varies_any(parameter_names(program.steps[step].operation))) {
      return true;
    }
  }
  return false;
}

bool ends_in_cross_entropy(const Program& program) {
  const ValueId step = program.output - program.n_inputs;
  return step >= 0 &&
         std::holds_alternative<CrossEntropyHead>(program.steps.at(static_cast<std::size_t>(step)).operation);
}

}  // namespace

ParameterTape::ParameterTape(const Program& program, const Parameters& parameters,
                             const std::vector<at::Tensor>& inputs, const std::vector<std::string>& names,
                             Curvature curvature, const std::vector<ValueId>& checkpoints)
    : selected_(parameters_named(parameters, names)) {
  if (inputs.empty() || inputs.size() != static_cast<std::size_t>(program.n_inputs) || !tape::ascends(checkpoints)) {
    throw std::invalid_argument("a tape needs one tensor per input, and checkpoints in ascending order");
  }
  if (!ends_in_cross_entropy(program)) {
    throw std::invalid_argument(
        "products with the curvature of parameters need a program whose output is a cross-entropy");
  }
  tape::Demand demand{names, curvature};
  if (!reads_any(program, demand)) {
    throw std::invalid_argument("the program's output depends on none of the parameters selected");
  }
  tape::check_precision(selected_.begin()->second);
  check_equal_precision(parameters, inputs, selected_.begin()->second);
  const c10::NoGradGuard no_grad;
  recorded_ = std::make_unique<tape::RecordedProgram>(program, parameters, inputs, std::vector<ValueId>{}, checkpoints,
                                                      std::move(demand));
}

ParameterTape::ParameterTape(ParameterTape&&) noexcept = default;
ParameterTape& ParameterTape::operator=(ParameterTape&&) noexcept = default;
ParameterTape::~ParameterTape() = default;

const at::Tensor& ParameterTape::losses() const {
  return recorded_->losses();
}

at::Tensor ParameterTape::apply(const at::Tensor& vectors) const {
  int64_t entries = 0;
  for (const auto& entry : selected_) {
    entries += entry.second.numel();
  }
  const at::Tensor& first = selected_.begin()->second;
  if (vectors.dim() != 2 || vectors.size(1) != entries || vectors.scalar_type() != first.scalar_type() ||
      vectors.device() != first.device()) {
    throw std::invalid_argument("vectors are " + c10::str(vectors.sizes()) + " of " +
                                c10::toString(vectors.scalar_type()) + " on " + vectors.device().str() +
                                ", expected [k, " + std::to_string(entries) + "] of " +
                                c10::toString(first.scalar_type()) + " on " + first.device().str());
  }
  const c10::NoGradGuard no_grad;
  at::Tensor products = at::empty(vectors.sizes(), vectors.options());
  if (vectors.size(0) > 0) {
    tape::ParameterVectors entering{split_like(vectors, selected_), split_like(products, selected_), vectors.size(0)};
    tape::TangentPass(*recorded_, std::move(entering)).run();
  }
  return products;
}

}  // namespace hessian
