#include "probe_measurement.h"

#include <algorithm>
#include <random>
#include <stdexcept>

#include "models/token_stream.h"

namespace experiments {
namespace {

template <class T>
std::vector<T> to_vector(const at::Tensor& tensor, at::ScalarType dtype) {
  const at::Tensor values = tensor.to(at::kCPU, dtype).contiguous();
  return {values.data_ptr<T>(), values.data_ptr<T>() + values.numel()};
}

/// A position of each sequence, drawn by the seed.
std::vector<int64_t> draw_positions(const ProbeOptions& options, const ProbeSubject& subject) {
  std::mt19937_64 generator(options.seed);
  std::vector<int64_t> positions;
  for (int64_t i = 0; i < subject.sequences(); ++i) {
    positions.push_back(
        static_cast<int64_t>(models::bounded_draw(generator, static_cast<uint64_t>(subject.seq_len()))));
  }
  return positions;
}

void fill(ProbeRow& row, const hessian::ExtremalEigenvalues& eigenvalues) {
  row.spectral_norm = to_vector<double>(eigenvalues.spectral_norm(), at::kDouble);
  row.lambda_max = to_vector<double>(eigenvalues.lambda_max, at::kDouble);
  row.lambda_min = to_vector<double>(eigenvalues.lambda_min, at::kDouble);
  row.residual_norm = to_vector<double>(eigenvalues.residual_norm(), at::kDouble);
  row.iterations = to_vector<int32_t>(eigenvalues.iterations, at::kInt);
  row.converged = to_vector<uint8_t>(eigenvalues.converged, at::kByte);
}

}  // namespace

ProbeLayoutOptions probe_layout(const ProbeOptions& options, const models::GptConfig& config, int64_t sequences) {
  ProbeLayoutOptions layout;
  layout.sequences = sequences;
  layout.check = options.check;
  layout.token_position = options.unit == Unit::token;
  const auto layers = parse_layers(options.layers, config.n_layers, options.layers_option);
  for (const models::Site site : options.sites) {
    const int64_t there = models::site_layers(config, site);
    ProbedSite probed{models::to_string(site), {}};
    std::copy_if(layers.begin(), layers.end(), std::back_inserter(probed.layers),
                 [there](int64_t layer) { return layer < there; });
    if (probed.layers.empty()) {
      throw std::invalid_argument(options.layers_option + " '" + options.layers +
                                  "' names no layer that has the site " + probed.name + ", which layers 0 to " +
                                  std::to_string(there - 1) + " have");
    }
    layout.sites.push_back(std::move(probed));
  }
  return layout;
}

ProbeMeasurement::ProbeMeasurement(const ProbeOptions& options, const ProbeSubject& subject, at::Device device)
    : options_(options),
      subject_(subject),
      layers_(parse_layers(options.layers, subject.forward.config().n_layers, options.layers_option)),
      layout_(probe_layout(options, subject.forward.config(), subject.sequences())),
      record_(record_forward(subject, layers_)),
      positions_(draw_positions(options, subject)) {
  for (const int64_t layer : layers_) {
    for (const models::Site site : options.sites) {
      if (layer < models::site_layers(subject.forward.config(), site)) {
        targets_.push_back({site, layer});
      }
    }
  }
  // A later layer differentiates through fewer blocks: what fits at a site's first layer fits at all of them.
  for (const Target& target : targets_) {
    if (!plans_.contains(target.site)) {
      plans_[target.site] = plan_memory(options, device, problem_at(target));
    }
  }
  if (options.check) {
    check_.emplace(subject, layers_, engine_of(options), options.seed);
  }
}

ProbeProblem ProbeMeasurement::problem_at(const Target& target) const {
  return probe_problem(engine_of(options_), subject_.forward, target.site, target.layer,
                       record_.residuals.at(target.layer), subject_.targets);
}

ProbeRow ProbeMeasurement::measure(std::size_t index) {
  const Target& target = targets_.at(index);
  ProbeRow row;
  row.site = target.site;
  row.layer = target.layer;
  fill(row, solve(options_, plans_.at(target.site), problem_at(target), positions_));
  row.scale = record_.activation_scales.at({target.site, target.layer}).scale();
  if (check_) {
    row.check_relative_difference = check_->relative_difference(target.site, target.layer);
  }
  return row;
}

}  // namespace experiments
