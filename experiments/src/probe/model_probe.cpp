#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <sstream>
#include <stdexcept>
#include <utility>

#include "hessian/probe.h"
#include "probe/measurement.h"
#include "probe/probe.h"
#include "probe/subject.h"

namespace hessian {
namespace {

std::string shape_of(const at::Tensor& tensor) {
  if (!tensor.defined()) {
    return "undefined";
  }
  std::ostringstream text;
  text << tensor.sizes() << " of " << tensor.scalar_type();
  return text.str();
}

void check_batch(const models::TokenBatch& batch, int64_t max_seq_len) {
  const auto fits = [&batch](const at::Tensor& ids) {
    return ids.defined() && ids.dim() == 2 && ids.scalar_type() == at::kLong && ids.numel() > 0 &&
           ids.sizes() == batch.tokens.sizes();
  };
  if (!fits(batch.tokens) || !fits(batch.targets)) {
    throw std::invalid_argument(fmt::format("probe: tokens are {} and targets {}, expected [S, T] of int64 for both",
                                            shape_of(batch.tokens), shape_of(batch.targets)));
  }
  if (batch.tokens.size(1) > max_seq_len) {
    throw std::invalid_argument(fmt::format("probe: sequences of {} tokens are longer than the model's {} positions",
                                            batch.tokens.size(1), max_seq_len));
  }
}

/// Returns the model and the batch on the device and in the precision of the first weight, detached from autograd.
experiments::ProbeSubject subject_of(const models::Model& model, const models::TokenBatch& batch) {
  const at::Tensor& first = model.parameters.begin()->second;
  const at::Device device = model.parameters.any_deferred() ? at::Device(at::kCPU) : first.device();
  const models::Model constants{model.config, model.parameters.to(device, first.scalar_type()).detached()};
  return {models::Forward(constants), batch.tokens.to(device), batch.targets.to(device), 0, ""};
}

experiments::ProbeOptions options_of(const ProbeModelOptions& options, at::Device device) {
  experiments::ProbeOptions all;
  all.sites = {options.site};
  all.layers_option = "layers";
  all.certify_option = "certify";
  all.ends = options.ends;
  all.tolerance = options.tolerance;
  all.certify = options.certify;
  all.confidence = options.confidence;
  all.max_iterations = options.max_iterations;
  all.seed = options.seed;
  all.memory_bytes = options.memory_bytes;
  all.engine = experiments::choose_engine({}, device);
  if (!options.layers.empty()) {
    all.layers = fmt::format("{}", fmt::join(options.layers, ","));
  }
  return all;
}

LayerCurvature curvature_of(const experiments::ProbeRow& row) {
  return {.layer = row.layer,
          .spectral_norm = at::tensor(row.spectral_norm, at::kDouble),
          .lambda_max = at::tensor(row.lambda_max, at::kDouble),
          .lambda_min = at::tensor(row.lambda_min, at::kDouble),
          .norm_upper = at::tensor(row.norm_upper, at::kDouble),
          .residual_norm = at::tensor(row.residual_norm, at::kDouble),
          .asymmetry = at::tensor(row.asymmetry, at::kDouble),
          .iterations = at::tensor(row.iterations, at::kInt),
          .converged = at::tensor(row.converged, at::kByte).to(at::kBool),
          .rms = row.scale.rms};
}

}  // namespace

std::vector<LayerCurvature> probe(const models::Model& model, const models::TokenBatch& batch,
                                  const ProbeModelOptions& options) {
  check_batch(batch, model.config.max_seq_len);
  experiments::ProbeSubject subject = subject_of(model, batch);
  const at::Device device = subject.tokens.device();
  experiments::ProbeMeasurement measurement(options_of(options, device), std::move(subject), device);
  require_no_overflow(measurement.record(), measurement.subject(), "probe", "convert the model to float64");
  std::vector<LayerCurvature> layers;
  for (std::size_t round = 0; round < measurement.rounds(); ++round) {
    for (const experiments::ProbeRow& row : measurement.measure(round)) {
      layers.push_back(curvature_of(row));
    }
  }
  return layers;
}

}  // namespace hessian
