#include "content/spectrum_reading.h"

#include <algorithm>
#include <cmath>
#include <set>
#include <utility>

namespace hessian::analysis {
namespace {

using experiments::DatasetSpec;

/// Names of the groups right below a path.
std::set<std::string> groups_below(const std::string& path, const std::vector<DatasetSpec>& datasets) {
  std::set<std::string> names;
  for (const DatasetSpec& dataset : datasets) {
    if (dataset.path.starts_with(path)) {
      const std::string rest = dataset.path.substr(path.size());
      names.insert(rest.substr(0, rest.find('/')));
    }
  }
  return names;
}

std::string units_of(const std::string& path, const std::vector<DatasetSpec>& datasets) {
  const auto found =
      std::find_if(datasets.begin(), datasets.end(), [&path](const DatasetSpec& there) { return there.path == path; });
  return found == datasets.end() ? "" : found->units;
}

double single(TolerantReader& reader, const std::string& path) {
  const std::vector<double> values = reader.column<double>(path);
  return values.empty() ? NAN : values.front();
}

/// Ritz values, and the weights of those that are numbers: behind the last of a probe whose Krylov space was exhausted
/// there are none.
void read_ritz_values(TolerantReader& reader, const std::string& group, SpectralDensity& density) {
  const auto values = reader.read<double>(group + "/ritz_values");
  const std::vector<double> weights = reader.column<double>(group + "/ritz_weights");
  if (values.shape.size() == 2) {
    density.probes = values.shape[0];
    density.steps = values.shape[1];
  }
  for (std::size_t i = 0; i < values.values.size(); ++i) {
    if (std::isfinite(values.values[i])) {
      density.ritz_values.push_back(values.values[i]);
      if (weights.size() == values.values.size()) {
        density.ritz_weights.push_back(weights[i]);
      }
    }
  }
}

SpectralDensity read_density(TolerantReader& reader, const std::string& name,
                             const std::vector<DatasetSpec>& datasets) {
  const std::string group = "/density/" + name;
  SpectralDensity density;
  density.name = name;
  density.units = units_of(group + "/grid", datasets);
  density.grid = reader.column<double>(group + "/grid");
  density.density = reader.column<double>(group + "/density");
  cut_to_shortest(density.grid, density.density);
  density.density_error = reader.column<double>(group + "/density_error");
  if (density.density_error.size() != density.density.size()) {
    density.density_error.clear();
  }
  read_ritz_values(reader, group, density);
  density.width = single(reader, group + "/width");
  density.zero_threshold = single(reader, group + "/zero_threshold");
  density.mass_near_zero = single(reader, group + "/mass_near_zero");
  density.mass_near_zero_error = single(reader, group + "/mass_near_zero_error");
  return density;
}

GroupSpectrum read_group(TolerantReader& reader, const std::string& name, const std::vector<DatasetSpec>& datasets) {
  const std::string group = "/spectrum/" + name + "/";
  GroupSpectrum spectrum;
  spectrum.name = name;
  const std::vector<int64_t> entries = reader.column<int64_t>(group + "entries");
  spectrum.entries = entries.empty() ? 0 : entries.front();
  // All of a group's arrays have a row for each matrix.
  const auto fits = [&](const std::string& path, const experiments::Shape& shape, bool of_pairs) {
    const bool first = spectrum.blocks == 0;
    const std::size_t dimensions = of_pairs ? 2 : 1;
    const bool good = shape.size() == dimensions && shape[0] > 0 && (first || shape[0] == spectrum.blocks) &&
                      (!of_pairs || spectrum.count == 0 || shape[1] == spectrum.count);
    if (!good && !shape.empty()) {
      reader.note(path + " does not fit what else there is of its group; it is left out");
    }
    if (good) {
      spectrum.blocks = shape[0];
      spectrum.count = of_pairs ? shape[1] : spectrum.count;
    }
    return good;
  };
  const auto read_end = [&](const std::string& end, SpectrumEnd& found) {
    const std::string path = group + "lambda_" + end;
    auto lambda = reader.read<double>(path);
    if (!fits(path, lambda.shape, true)) {
      return;
    }
    spectrum.units = units_of(path, datasets);
    found.lambda = std::move(lambda.values);
    found.residual = reader.column<double>(group + "residual_" + end);
    found.converged = reader.column<uint8_t>(group + "converged_" + end);
    found.residual.resize(found.lambda.size(), NAN);
    found.converged.resize(found.lambda.size(), 0);
  };
  const auto read_estimate = [&](const std::string& quantity, SpectrumEstimate& found) {
    const std::string path = group + quantity;
    auto value = reader.read<double>(path);
    if (!fits(path, value.shape, false)) {
      return;
    }
    found.value = std::move(value.values);
    found.error = reader.column<double>(path + "_error");
    found.error.resize(found.value.size(), NAN);
  };
  read_end("upper", spectrum.upper);
  read_end("lower", spectrum.lower);
  read_estimate("trace", spectrum.trace);
  read_estimate("frobenius_norm", spectrum.frobenius_norm);
  read_estimate("effective_rank", spectrum.effective_rank);
  if (spectrum.units.empty()) {
    spectrum.units = units_of(group + "trace", datasets);
  }
  return spectrum;
}

}  // namespace

int64_t SpectrumEnd::unconverged() const {
  int64_t count = 0;
  for (std::size_t i = 0; i < converged.size(); ++i) {
    // What has not been written yet is no failure.
    count += converged[i] == 0 && std::isfinite(lambda[i]) ? 1 : 0;
  }
  return count;
}

std::vector<double> Anatomy::over_sequences(const std::vector<double>& values, std::size_t row) const {
  const auto first = values.begin() + static_cast<std::ptrdiff_t>(row) * sequences;
  return {first, first + sequences};
}

int64_t Anatomy::unconverged() const {
  int64_t count = 0;
  for (std::size_t i = 0; i < converged.size(); ++i) {
    count += converged[i] == 0 && std::isfinite(norm[i]) ? 1 : 0;
  }
  return count;
}

std::vector<SpectralDensity> read_densities(TolerantReader& reader, const std::vector<DatasetSpec>& datasets) {
  std::vector<SpectralDensity> densities;
  for (const std::string& name : groups_below("/density/", datasets)) {
    densities.push_back(read_density(reader, name, datasets));
  }
  return densities;
}

std::vector<GroupSpectrum> read_spectra(TolerantReader& reader, const std::vector<DatasetSpec>& datasets) {
  std::vector<GroupSpectrum> spectra;
  for (const std::string& name : groups_below("/spectrum/", datasets)) {
    GroupSpectrum spectrum = read_group(reader, name, datasets);
    if (spectrum.blocks > 0) {
      spectra.push_back(std::move(spectrum));
    }
  }
  return spectra;
}

std::optional<Anatomy> read_anatomy(TolerantReader& reader, const std::vector<DatasetSpec>& datasets) {
  if (groups_below("/anatomy/", datasets).empty()) {
    return std::nullopt;
  }
  Anatomy anatomy;
  anatomy.map = reader.column<std::string>("/anatomy/map");
  anatomy.layer = reader.column<int64_t>("/anatomy/layer");
  anatomy.normalised = reader.column<uint8_t>("/anatomy/normalised");
  auto gain = reader.read<double>("/anatomy/gain_norm");
  anatomy.gain_norm = std::move(gain.values);
  anatomy.curvature_norm = reader.column<double>("/anatomy/curvature_norm");
  anatomy.norm = reader.column<double>("/anatomy/norm");
  anatomy.cosine = reader.column<double>("/anatomy/cosine");
  anatomy.converged = reader.column<uint8_t>("/anatomy/converged");
  const std::size_t maps = anatomy.map.size();
  const std::size_t all = anatomy.gain_norm.size();
  const bool fits = gain.shape.size() == 2 && gain.shape[0] == static_cast<int64_t>(maps) && gain.shape[1] > 0 &&
                    anatomy.layer.size() == maps && anatomy.normalised.size() == maps &&
                    anatomy.curvature_norm.size() == all && anatomy.norm.size() == all &&
                    anatomy.cosine.size() == all && anatomy.converged.size() == all;
  if (!fits) {
    reader.note("/anatomy: its datasets do not fit together; it is left out");
    return std::nullopt;
  }
  anatomy.sequences = gain.shape[1];
  return anatomy;
}

}  // namespace hessian::analysis
