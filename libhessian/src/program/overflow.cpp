#include "hessian/overflow.h"

#include <cmath>
#include <limits>
#include <variant>

#include "program/program_steps.h"

namespace hessian {
namespace {

// One overload per primitive: a new primitive does not compile without one.
const char* kind_of(const Linear& /*linear*/) {
  return "linear map";
}
const char* kind_of(const RmsNorm& /*norm*/) {
  return "RMSNorm";
}
const char* kind_of(const LayerNorm& /*norm*/) {
  return "LayerNorm";
}
const char* kind_of(const Rope& /*rope*/) {
  return "the rotary position embedding";
}
const char* kind_of(const CausalAttention& /*attention*/) {
  return "attention";
}
const char* kind_of(const SiluGate& /*gate*/) {
  return "the SiLU gate";
}
const char* kind_of(const GeluGate& /*gate*/) {
  return "the GELU gate";
}
const char* kind_of(const Scale& /*scale*/) {
  return "a multiple";
}
const char* kind_of(const SoftCap& /*cap*/) {
  return "the soft cap";
}
const char* kind_of(const Gelu& /*gelu*/) {
  return "GELU";
}
const char* kind_of(const Add& /*add*/) {
  return "a sum";
}
const char* kind_of(const Identity& /*identity*/) {
  return "a copy";
}
const char* kind_of(const Embedding& /*embedding*/) {
  return "embedding";
}
const char* kind_of(const AddPositions& /*positions*/) {
  return "position embedding";
}
const char* kind_of(const CrossEntropyHead& /*head*/) {
  return "cross-entropy of";
}

/// Names an operation and its first parameter, if it has any.
std::string name_of(const Operation& operation) {
  const std::string kind = std::visit([](const auto& chosen) { return kind_of(chosen); }, operation);
  const std::vector<std::string> parameters = parameter_names(operation);
  return parameters.empty() ? kind : kind + " '" + parameters.front() + "'";
}

/// Returns into how many parts, each with its own sum of squares, an operation divides a row; 0 if it is not a norm.
int64_t norms_per_row(const Operation& operation) {
  if (const auto* const norm = std::get_if<RmsNorm>(&operation)) {
    return norm->heads;
  }
  return std::holds_alternative<LayerNorm>(operation) ? 1 : 0;
}

/// Returns whether the sum of the squares of one of the equal parts of a row exceeds the largest number of the precision in
/// which norms compute: float64 for float64, otherwise float32.
bool squares_overflow(const at::Tensor& tensor, int64_t parts, double largest) {
  const double limit = tensor.scalar_type() == at::kDouble ? std::numeric_limits<double>::max()
                                                           : static_cast<double>(std::numeric_limits<float>::max());
  if (largest <= std::sqrt(limit / static_cast<double>(tensor.size(-1) / parts))) {
    return false;
  }
  return tensor.to(at::kDouble).unflatten(-1, {parts, -1}).square().sum(-1).max().item<double>() > limit;
}

}  // namespace

std::optional<Overflow> find_overflow(const Program& program, ValueId value, const at::Tensor& tensor) {
  if (!tensor.is_floating_point() || tensor.numel() == 0) {
    return std::nullopt;
  }
  const auto [low, high] = at::aminmax(tensor);                              // NaN if an entry is
  const double largest = at::maximum(low.abs(), high.abs()).item<double>();  // one wait for the device
  if (!std::isfinite(largest)) {
    if (value < program.n_inputs) {
      return Overflow{"an input", largest, false};
    }
    const Operation& operation = program.steps[static_cast<std::size_t>(value - program.n_inputs)].operation;
    return Overflow{"the result of " + name_of(operation), largest, false, parameter_names(operation)};
  }
  for (const Step& step : program.steps) {
    const int64_t norms = norms_per_row(step.operation);
    if (norms > 0 && step.inputs.front() == value && squares_overflow(tensor, norms, largest)) {
      return Overflow{"the input of " + name_of(step.operation), largest};
    }
  }
  return std::nullopt;
}

}  // namespace hessian
