#include "content/run_content.h"

#include <algorithm>
#include <cmath>

#include "content/spectrum_reading.h"
#include "content/tolerant_reader.h"
#include "run_file/probe_layout.h"

namespace hessian::analysis {
namespace {

using experiments::RunFileReader;

/// Returns the steps that have been written: rows that a killed writer reserved read as -1.
std::vector<int64_t> written_steps(std::vector<int64_t> steps) {
  steps.erase(std::find_if(steps.begin(), steps.end(), [](int64_t step) { return step < 0; }), steps.end());
  return steps;
}

/// Returns the first `rows` rows of an array [P, width], or nothing if it has fewer.
template <class T>
std::vector<T> rows_of(std::vector<T> values, std::size_t rows, std::size_t width) {
  if (values.size() < rows * width) {
    return {};
  }
  values.resize(rows * width);
  return values;
}

std::optional<SiteProbes> read_site(TolerantReader& reader, const RunFileReader& run, const std::string& site,
                                    std::vector<std::string>& problems) {
  using experiments::probe_path;
  SiteProbes probes;
  probes.site = site;
  probes.layers = reader.column<int64_t>(experiments::probe_layer_path(site));
  auto norms = reader.read<double>(probe_path(site, "spectral_norm"));
  if (norms.shape.size() != 3 || probes.layers.empty() ||
      norms.shape[1] != static_cast<int64_t>(probes.layers.size()) || norms.shape[2] < 1) {
    problems.push_back("site " + site + ": /probe/layer/" + site + " and /probe/" + site +
                       "/spectral_norm do not fit together; the site is left out");
    return std::nullopt;
  }
  probes.steps = written_steps(reader.column<int64_t>("/probe/step"));
  probes.steps.resize(std::min(probes.steps.size(), static_cast<std::size_t>(norms.shape[0])));
  probes.sequences = norms.shape[2];
  const std::size_t rows = probes.steps.size();
  const std::size_t layers = probes.layers.size();
  const std::size_t estimates = layers * static_cast<std::size_t>(probes.sequences);
  const auto estimate = [&](const char* name) {
    return rows_of(reader.column<double>(probe_path(site, name)), rows, estimates);
  };
  const auto scale = [&](const char* name) {
    return rows_of(reader.column<double>(probe_path(site, name)), rows, layers);
  };
  probes.spectral_norm = rows_of(std::move(norms.values), rows, estimates);
  probes.lambda_max = estimate("lambda_max");
  probes.lambda_min = estimate("lambda_min");
  if (run.contains(probe_path(site, "norm_upper"))) {  // older files lack it
    probes.norm_upper = estimate("norm_upper");
  }
  probes.residual_norm = estimate("residual_norm");
  probes.converged = rows_of(reader.column<uint8_t>(probe_path(site, "converged")), rows, estimates);
  probes.rms = scale("rms");
  probes.abs_max = scale("abs_max");
  probes.abs_mean = scale("abs_mean");
  probes.feature_outlier = scale("feature_outlier");
  return probes;
}

std::optional<SharpnessCurve> read_sharpness(TolerantReader& reader, const RunFileReader& run,
                                             const std::string& name) {
  if (!run.contains("/probe/" + name + "/lambda_max")) {
    return std::nullopt;
  }
  SharpnessCurve curve;
  curve.steps = written_steps(reader.column<int64_t>("/probe/step"));
  curve.lambda_max = reader.column<double>("/probe/" + name + "/lambda_max");
  curve.converged = reader.column<uint8_t>("/probe/" + name + "/converged");
  cut_to_shortest(curve.steps, curve.lambda_max, curve.converged);
  curve.clip_factor = reader.column<double>("/probe/" + name + "/clip_factor");
  curve.left_out = reader.column<int64_t>("/probe/" + name + "/left_out");
  if (std::min(curve.clip_factor.size(), curve.left_out.size()) < curve.steps.size()) {
    curve.clip_factor.clear();
    curve.left_out.clear();
  } else {
    cut_to_shortest(curve.steps, curve.clip_factor, curve.left_out);
  }
  return curve;
}

TrainingCurves read_training(TolerantReader& reader) {
  TrainingCurves curves;
  curves.steps = written_steps(reader.column<int64_t>("/train/step"));
  curves.loss = reader.column<double>("/train/loss");
  curves.lr = reader.column<double>("/train/lr");
  curves.grad_norm = reader.column<double>("/train/grad_norm");
  cut_to_shortest(curves.steps, curves.loss, curves.lr, curves.grad_norm);
  curves.val_steps = written_steps(reader.column<int64_t>("/train/val_step"));
  curves.val_loss = reader.column<double>("/train/val_loss");
  cut_to_shortest(curves.val_steps, curves.val_loss);
  return curves;
}

SweepRuns read_sweep(TolerantReader& reader, const RunFileReader& run) {
  SweepRuns sweep;
  sweep.model = reader.column<std::string>("/sweep/model");
  sweep.lr = reader.column<double>("/sweep/lr");
  sweep.seed = reader.column<int64_t>("/sweep/seed");
  sweep.status = reader.column<std::string>("/sweep/status");
  sweep.final_loss = reader.column<double>("/sweep/final_loss");
  sweep.initial_loss = reader.column<double>("/sweep/initial_loss");
  sweep.diverged_at = reader.column<int64_t>("/sweep/diverged_at");
  sweep.run_file = reader.column<std::string>("/sweep/run_file");
  cut_to_shortest(sweep.model, sweep.lr, sweep.seed, sweep.status, sweep.final_loss, sweep.initial_loss,
                  sweep.diverged_at, sweep.run_file);
  sweep.models = reader.column<std::string>("/sweep/summary/model");
  const std::string prefix = "/sweep/summary/";
  for (const auto& dataset : run.datasets()) {
    if (dataset.path.starts_with(prefix) && dataset.type == experiments::ElementType::float64) {
      std::vector<double> values = reader.column<double>(dataset.path);
      values.resize(sweep.models.size(), std::nan(""));
      sweep.summary[dataset.path.substr(prefix.size())] = std::move(values);
    }
  }
  return sweep;
}

}  // namespace

std::vector<double> SiteProbes::over_sequences(const std::vector<double>& values, std::size_t probe,
                                               std::size_t row) const {
  const auto width = static_cast<std::ptrdiff_t>(sequences);
  const auto first = values.begin() + static_cast<std::ptrdiff_t>(probe * layers.size() + row) * width;
  return {first, first + width};
}

int64_t SiteProbes::converged_count(std::size_t probe, std::size_t row) const {
  if (converged.empty()) {  // older files lack it
    return 0;
  }
  const auto first = converged.begin() + static_cast<std::ptrdiff_t>(probe * layers.size() + row) * sequences;
  return std::count(first, first + sequences, 1);
}

int64_t SiteProbes::unconverged(std::size_t probe, std::size_t row) const {
  if (converged.empty()) {
    return 0;
  }
  // Estimates that have not been written yet are NaN, which is no failure.
  const std::vector<double> norms = over_sequences(spectral_norm, probe, row);
  const auto written = std::count_if(norms.begin(), norms.end(), [](double norm) { return std::isfinite(norm); });
  return std::max<int64_t>(0, written - converged_count(probe, row));
}

int64_t SiteProbes::unconverged(std::size_t probe) const {
  int64_t count = 0;
  for (std::size_t row = 0; row < layers.size(); ++row) {
    count += unconverged(probe, row);
  }
  return count;
}

double SweepRuns::summary_number(const std::string& of_model, const std::string& name) const {
  const auto numbers = summary.find(name);
  const auto found = std::find(models.begin(), models.end(), of_model);
  if (numbers == summary.end() || found == models.end()) {
    return std::nan("");
  }
  return numbers->second[static_cast<std::size_t>(found - models.begin())];
}

RunContent read_run(const std::filesystem::path& path) {
  const RunFileReader run(path);
  RunContent content;
  content.path = path;
  content.info = run.info();
  content.created = run.created();
  content.finished = run.finished();
  content.format_version = run.format_version();
  content.peak_memory_bytes = run.peak_memory_bytes();
  content.datasets = run.datasets();
  TolerantReader reader(run, content.problems);

  const std::string layer_prefix = experiments::probe_layer_path("");
  for (const auto& dataset : content.datasets) {
    if (dataset.path.starts_with(layer_prefix)) {
      if (auto site = read_site(reader, run, dataset.path.substr(layer_prefix.size()), content.problems)) {
        content.sites.push_back(std::move(*site));
      }
    }
  }
  content.sharpness = read_sharpness(reader, run, "sharpness");
  content.preconditioned_sharpness = read_sharpness(reader, run, "preconditioned_sharpness");
  if (run.contains("/train/step")) {
    content.training = read_training(reader);
  }
  if (run.contains("/sweep/lr")) {
    content.sweep = read_sweep(reader, run);
  }
  content.densities = read_densities(reader, content.datasets);
  content.spectra = read_spectra(reader, content.datasets);
  content.anatomy = read_anatomy(reader, content.datasets);
  return content;
}

}  // namespace hessian::analysis
