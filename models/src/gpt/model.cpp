#include "hessian/models/model.h"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>

#include <cmath>
#include <set>
#include <utility>

#include "formats/mapped_tensor.h"
#include "io/messages.h"

namespace hessian::models {
namespace {

void check_shape(const ParameterSpec& spec, const at::Tensor& tensor, const GptConfig& config,
                 const std::string& source) {
  if (tensor.sizes() != at::IntArrayRef(spec.shape)) {
    fail(source, "tensor '{}' is {}, expected {} (dim {})", spec.name, shape_text(tensor.sizes()),
         shape_text(spec.shape), config.dim);
  }
  if (!tensor.is_floating_point()) {
    fail(source, "tensor '{}' holds {}, expected floating point", spec.name, c10::toString(tensor.scalar_type()));
  }
}

void check_values(const ParameterSpec& spec, const at::Tensor& tensor, const std::string& source) {
  if (tensor.is_meta()) {
    return;
  }
  const PagesInUse pages(tensor);
  // Minimum and maximum reveal any NaN or infinity without a second copy of the tensor.
  const auto [low, high] = at::aminmax(tensor);
  if (!std::isfinite(low.item<double>()) || !std::isfinite(high.item<double>())) {
    fail(source, "tensor '{}' holds non-finite values; the model cannot be probed", spec.name);
  }
}

/// Describes a model: "a llama2 prenorm of 4 layers".
std::string kind_of(const GptConfig& config) {
  return fmt::format("a {} {} of {} layers", to_string(config.family), to_string(config.placement), config.n_layers);
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
  // Inverse of the cumulative distribution, restricted to the truncated interval (Devroye 1986, section II.2).
  const double edge = std::erf(spec.initialiser.truncation / std::sqrt(2.0));
  values.uniform_(-edge, edge, generator).erfinv_().mul_(std * std::sqrt(2.0)).clamp_(-bound, bound);
  return values.add_(spec.initialiser.mean);
}

}  // namespace

Model assemble_model(const GptConfig& config, const Parameters& parameters, const std::string& source,
                     WeightAccess access) {
  Model model{config, {}};
  std::set<std::string> expected;
  for (const ParameterSpec& spec : parameter_specs(config)) {
    if (!parameters.contains(spec.name)) {
      fail(source, "tensor '{}' is missing; expected {} in {}", spec.name, shape_text(spec.shape), kind_of(config));
    }
    check_shape(spec, parameters.shape_of(spec.name), config, source);
    if (access != WeightAccess::unread) {
      check_values(spec, parameters.fetched({spec.name}).at(spec.name), source);
    }
    model.parameters.add_from(parameters, spec.name);
    expected.insert(spec.name);
  }
  for (const auto& [name, tensor] : parameters) {
    if (!expected.contains(name)) {
      fail(source, "tensor '{}' {} belongs to no part of {}", name, shape_text(tensor.sizes()), kind_of(config));
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

}  // namespace hessian::models
