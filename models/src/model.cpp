#include "models/model.h"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>

#include <cmath>
#include <set>
#include <sstream>
#include <stdexcept>
#include <utility>

namespace models {
namespace {

std::string describe(at::IntArrayRef shape) {
  std::ostringstream text;
  text << shape;
  return text.str();
}

void check_tensor(const ParameterSpec& spec, const at::Tensor& tensor, const GptConfig& config,
                  const std::string& source) {
  const std::string name = source + ": tensor '" + spec.name + "' ";
  if (tensor.sizes() != at::IntArrayRef(spec.shape)) {
    throw std::runtime_error(name + "is " + describe(tensor.sizes()) + ", expected " + describe(spec.shape) + " (dim " +
                             std::to_string(config.dim) + ")");
  }
  if (!tensor.is_floating_point()) {
    throw std::runtime_error(name + "holds " + c10::toString(tensor.scalar_type()) + ", expected floating point");
  }
  if (tensor.is_meta()) {
    return;
  }
  // The extremes carry any NaN or infinity, and need no second copy of the tensor.
  const auto [low, high] = at::aminmax(tensor);
  if (!std::isfinite(low.item<double>()) || !std::isfinite(high.item<double>())) {
    throw std::runtime_error(name + "holds non-finite values; the model cannot be probed");
  }
}

at::Tensor draw(const ParameterSpec& spec, at::Generator& generator) {
  at::Tensor values = at::full(spec.shape, spec.initialiser.mean, at::kFloat);
  if (spec.initialiser.std == 0) {
    return values;
  }
  const double std = spec.initialiser.std;
  const double bound = spec.initialiser.truncation * std;
  if (bound == 0) {
    return values.normal_(spec.initialiser.mean, std, generator);
  }
  // Inverse of the cumulative distribution on the interval that the bounds leave (Devroye 1986, section II.2).
  const double edge = std::erf(spec.initialiser.truncation / std::sqrt(2.0));
  values.uniform_(-edge, edge, generator).erfinv_().mul_(std * std::sqrt(2.0)).clamp_(-bound, bound);
  return values.add_(spec.initialiser.mean);
}

}  // namespace

Model assemble_model(const GptConfig& config, const hessian::Parameters& parameters, const std::string& source) {
  Model model{config, {}};
  std::set<std::string> expected;
  for (const ParameterSpec& spec : parameter_specs(config)) {
    if (!parameters.contains(spec.name)) {
      throw std::runtime_error(source + ": tensor '" + spec.name + "' is missing; expected " + describe(spec.shape) +
                               " in a " + to_string(config.family) + " " + to_string(config.placement) + " of " +
                               std::to_string(config.n_layers) + " layers");
    }
    const at::Tensor& tensor = parameters.at(spec.name);
    check_tensor(spec, tensor, config, source);
    model.parameters.add(spec.name, tensor);
    expected.insert(spec.name);
  }
  for (const auto& [name, tensor] : parameters) {
    if (!expected.contains(name)) {
      throw std::runtime_error(source + ": tensor '" + name + "' " + describe(tensor.sizes()) +
                               " belongs to no part of a " + to_string(config.family) + " " +
                               to_string(config.placement) + " of " + std::to_string(config.n_layers) + " layers");
    }
  }
  return model;
}

Model initialise_model(const GptConfig& config, uint64_t seed) {
  validate(config);
  auto generator = at::detail::createCPUGenerator(seed);
  Model model{config, {}};
  for (const ParameterSpec& spec : parameter_specs(config)) {
    model.parameters.add(spec.name, draw(spec, generator));
  }
  return model;
}

hessian::Parameters meta_parameters(const GptConfig& config) {
  hessian::Parameters parameters;
  for (const ParameterSpec& spec : parameter_specs(config)) {
    parameters.add(spec.name, at::empty(spec.shape, at::device(at::kMeta).dtype(at::kFloat)));
  }
  return parameters;
}

}  // namespace models
