#include "run_file/probe_layout.h"

#include <algorithm>
#include <array>
#include <set>
#include <stdexcept>
#include <string_view>

namespace hessian::experiments {
namespace {

struct Quantity {
  std::string_view name;
  ElementType type;
  std::string_view units;
  std::string_view long_name;
};

// [P, N, S]: one number per probe, row and sequence. Activations have no unit, so the Hessian has the unit of the loss.
constexpr auto spectral_quantities = std::to_array<Quantity>({
    {"spectral_norm", ElementType::float64, "nats", "spectral norm of the activation Hessian, max |lambda|"},
    {"lambda_max", ElementType::float64, "nats", "largest eigenvalue of the activation Hessian"},
    {"lambda_min", ElementType::float64, "nats", "smallest eigenvalue of the activation Hessian"},
    {"residual_norm", ElementType::float64, "nats", "larger residual norm ||H v - lambda v|| of the ends sought"},
    {"asymmetry", ElementType::float64, "nats", "||V^T H V - (V^T H V)^T||_F over the Lanczos vectors V"},
    {"iterations", ElementType::int32, "products", "Hessian-vector products until convergence or the limit"},
    {"converged", ElementType::uint8, "1",
     "1 where the residual and the upper bound are within their tolerances, 0 where they are not"},
});

// [P, N, S]: certified bounds, NaN where the eigensolver gives none.
constexpr Quantity norm_bound = {"norm_upper", ElementType::float64, "nats", "upper bound of the spectral norm"};
constexpr auto end_bounds = std::to_array<Quantity>({
    {"lambda_max_upper", ElementType::float64, "nats", "upper bound of the largest eigenvalue"},
    {"lambda_min_lower", ElementType::float64, "nats", "lower bound of the smallest eigenvalue"},
});

// [P, N]: one number per probe and row.
constexpr auto activation_quantities = std::to_array<Quantity>({
    {"rms", ElementType::float64, "1", "root mean square of the activation"},
    {"abs_max", ElementType::float64, "1", "largest absolute entry of the activation"},
    {"abs_mean", ElementType::float64, "1", "mean absolute entry of the activation"},
    {"feature_outlier", ElementType::float64, "1", "largest RMS of one feature over the RMS of all"},
});

// [P, N]
constexpr auto check_quantities = std::to_array<Quantity>({
    {"check_relative_difference", ElementType::float64, "1",
     "relative difference between the Hessian-vector product in float64 and central differences of the gradient"},
    {"check_precision_difference", ElementType::float64, "1",
     "relative difference between the Hessian-vector product in the precision of the probe and in float64"},
});

DatasetSpec site_dataset(const ProbedSite& site, const Quantity& quantity, Shape shape) {
  return {probe_path(site.name, std::string(quantity.name)), quantity.type, std::move(shape),
          std::string(quantity.units), std::string(quantity.long_name)};
}

void check_options(const ProbeLayoutOptions& options) {
  if (options.probes < 0 || options.sequences < 1) {
    throw std::invalid_argument("probe layout: " + std::to_string(options.probes) + " probes of " +
                                std::to_string(options.sequences) + " sequences, expected at least 0 of at least 1");
  }
  // Starts with the names that would collide with the probe's own datasets.
  std::set<std::string> seen = {"step", "loss", "layer", "token_position"};
  for (const ProbedSite& site : options.sites) {
    if (site.name.empty() || site.name.find('/') != std::string::npos || !seen.insert(site.name).second) {
      throw std::invalid_argument("probe layout: site '" + site.name +
                                  "' is reserved, given twice, or not a plain name");
    }
    if (site.layers.empty()) {
      throw std::invalid_argument("probe layout: site '" + site.name + "' has no rows, expected one or more layers");
    }
  }
}

}  // namespace

std::string probe_path(const std::string& site, const std::string& quantity) {
  return "/probe/" + site + "/" + quantity;
}

std::string probe_layer_path(const std::string& site) {
  return "/probe/layer/" + site;
}

std::vector<DatasetSpec> probe_datasets(const ProbeLayoutOptions& options) {
  check_options(options);
  const int64_t probes = options.probes;
  std::vector<DatasetSpec> datasets = {
      {"/probe/step", ElementType::int64, {probes}, "steps", "training step of each probe"},
      {"/probe/loss", ElementType::float64, {probes, options.sequences}, "nats", "mean cross-entropy of each sequence"},
  };
  if (options.token_position) {
    datasets.push_back({"/probe/token_position",
                        ElementType::int64,
                        {options.sequences},
                        "tokens",
                        "position in each sequence whose Hessian was probed"});
  }
  if (options.plan) {
    datasets.insert(
        datasets.end(),
        {{"/plan/weights_streamed", ElementType::uint8, {1}, "1", "1 where weights were streamed layer by layer"},
         {"/plan/memory_bytes", ElementType::int64, {1}, "bytes", "planned peak memory"},
         {"/plan/seconds", ElementType::float64, {1}, "s", "estimated time, for a typical number of products"},
         {"/plan/elapsed_seconds", ElementType::float64, {1}, "s", "time from the plan to the end"}});
  }
  for (const ProbedSite& site : options.sites) {
    const auto rows = static_cast<int64_t>(site.layers.size());
    datasets.push_back(
        {probe_layer_path(site.name), ElementType::int64, {rows}, "1", "layer of each row of site " + site.name});
    for (const Quantity& quantity : spectral_quantities) {
      datasets.push_back(site_dataset(site, quantity, {probes, rows, options.sequences}));
    }
    const auto add_bound = [&](const Quantity& quantity) {
      datasets.push_back(site_dataset(site, quantity, {probes, rows, options.sequences}));
      datasets.back().numbers = {{"certify", options.certify}, {"confidence", options.confidence}};
    };
    add_bound(norm_bound);
    if (options.both_ends) {
      std::for_each(end_bounds.begin(), end_bounds.end(), add_bound);
    }
    for (const Quantity& quantity : activation_quantities) {
      datasets.push_back(site_dataset(site, quantity, {probes, rows}));
    }
    if (options.check) {
      for (const Quantity& quantity : check_quantities) {
        datasets.push_back(site_dataset(site, quantity, {probes, rows}));
      }
    }
  }
  return datasets;
}

void write_probe_layers(RunFileWriter& writer, const ProbeLayoutOptions& options) {
  for (const ProbedSite& site : options.sites) {
    writer.write(probe_layer_path(site.name), {0}, {static_cast<int64_t>(site.layers.size())}, site.layers);
  }
}

}  // namespace hessian::experiments
