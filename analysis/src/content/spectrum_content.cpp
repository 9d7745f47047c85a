#include "content/spectrum_reading.h"

#include <algorithm>
#include <cmath>
#include <set>
#include <utility>

namespace hessian::analysis {
namespace {

using experiments::DatasetSpec;

/// Returns the names of the groups directly below a path.
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
  const auto found = std::find_if(datasets.begin(), datasets.end(),
                                  [&path](const DatasetSpec& dataset) { return dataset.path == path; });
  return found == datasets.end() ? "" : found->units;
}

double single(TolerantReader& reader, const std::string& path) {
  const std::vector<double> values = reader.column<double>(path);
  return values.empty() ? NAN : values.front();
}

/// Reads Ritz values and their weights. Drops the NaNs at the end of samples whose Krylov space was exhausted early.
void read_ritz_values(TolerantReader& reader, const std::string& group, DensityCurve& density) {
  const auto values = reader.read<double>(group + "/ritz_values");
  const std::vector<double> weights = reader.column<double>(group + "/ritz_weights");
  if (values.shape.size() == 2) {
    density.samples = values.shape[0];
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

DensityCurve read_density(TolerantReader& reader, const std::string& name, const std::vector<DatasetSpec>& datasets) {
  const std::string group = "/density/" + name;
  DensityCurve density;
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

/// Reads the arrays of one group, which all have a row per matrix.
class GroupReader {
 public:
  GroupReader(TolerantReader& reader, const std::string& name, const std::vector<DatasetSpec>& datasets)
      : reader_(reader), datasets_(datasets), group_("/spectrum/" + name + "/") {
    spectrum_.name = name;
  }

  GroupSpectrum read() {
    const std::vector<int64_t> entries = reader_.column<int64_t>(group_ + "entries");
    spectrum_.entries = entries.empty() ? 0 : entries.front();
    const std::vector<int64_t> left_out = reader_.column<int64_t>(group_ + "left_out");
    spectrum_.left_out = left_out.empty() ? 0 : left_out.front();
    spectrum_.clip_factor = single(reader_, group_ + "clip_factor");
    read_end("upper", spectrum_.upper);
    read_end("lower", spectrum_.lower);
    read_estimate("trace", spectrum_.trace);
    read_estimate("frobenius_norm", spectrum_.frobenius_norm);
    read_estimate("effective_rank", spectrum_.effective_rank);
    leave_out_undetermined_ranks();
    if (spectrum_.units.empty()) {
      spectrum_.units = units_of(group_ + "trace", datasets_);
    }
    return std::move(spectrum_);
  }

 private:
  /// Returns whether an array [S] or [S, K] agrees with those read before; the first one decides S and K.
  bool fits(const std::string& path, const experiments::Shape& shape, std::size_t dimensions) {
    const bool right = shape.size() == dimensions && shape[0] > 0 &&
                       (spectrum_.matrices == 0 || shape[0] == spectrum_.matrices) &&
                       (dimensions == 1 || spectrum_.count == 0 || shape[1] == spectrum_.count);
    if (!right && !shape.empty()) {
      reader_.note(path + " does not fit the other datasets of its group; it is left out");
    }
    if (right) {
      spectrum_.matrices = shape[0];
      spectrum_.count = dimensions == 2 ? shape[1] : spectrum_.count;
    }
    return right;
  }

  void read_end(const std::string& end, SpectrumEnd& found) {
    const std::string path = group_ + "lambda_" + end;
    auto lambda = reader_.read<double>(path);
    if (!fits(path, lambda.shape, 2)) {
      return;
    }
    spectrum_.units = units_of(path, datasets_);
    found.lambda = std::move(lambda.values);
    found.residual = reader_.column<double>(group_ + "residual_" + end);
    found.converged = reader_.column<uint8_t>(group_ + "converged_" + end);
    found.residual.resize(found.lambda.size(), NAN);
    found.converged.resize(found.lambda.size(), 0);
  }

  void read_estimate(const std::string& quantity, SpectrumEstimate& found) {
    const std::string path = group_ + quantity;
    auto value = reader_.read<double>(path);
    if (!fits(path, value.shape, 1)) {
      return;
    }
    found.value = std::move(value.values);
    found.error = reader_.column<double>(path + "_error");
    found.error.resize(found.value.size(), NAN);
  }

  void leave_out_undetermined_ranks() {
    const std::vector<uint8_t> determined = reader_.column<uint8_t>(group_ + "effective_rank_determined");
    std::vector<double>& ranks = spectrum_.effective_rank.value;
    for (std::size_t i = 0; i < std::min(determined.size(), ranks.size()); ++i) {  // older files lack it
      if (determined[i] == 0 && std::isfinite(ranks[i])) {
        ranks[i] = NAN;
        spectrum_.undetermined_ranks += 1;
      }
    }
  }

  TolerantReader& reader_;
  const std::vector<DatasetSpec>& datasets_;
  std::string group_;
  GroupSpectrum spectrum_;
};

}  // namespace

int64_t SpectrumEnd::unconverged() const {
  int64_t count = 0;
  for (std::size_t i = 0; i < converged.size(); ++i) {
    // Pairs that have not been written yet are NaN, which is no failure.
    count += converged[i] == 0 && std::isfinite(lambda[i]) ? 1 : 0;
  }
  return count;
}

std::vector<double> Anatomy::over_sequences(const std::vector<double>& values, std::size_t row) const {
  const auto first = values.begin() + static_cast<std::ptrdiff_t>(row) * sequences;
  return {first, first + sequences};
}

int64_t Anatomy::converged_count(std::size_t row) const {
  const auto first = converged.begin() + static_cast<std::ptrdiff_t>(row) * sequences;
  return std::count(first, first + sequences, 1);
}

int64_t Anatomy::unconverged() const {
  int64_t count = 0;
  for (std::size_t i = 0; i < converged.size(); ++i) {
    count += converged[i] == 0 && std::isfinite(norm[i]) ? 1 : 0;
  }
  return count;
}

std::vector<DensityCurve> read_densities(TolerantReader& reader, const std::vector<DatasetSpec>& datasets) {
  std::vector<DensityCurve> densities;
  for (const std::string& name : groups_below("/density/", datasets)) {
    densities.push_back(read_density(reader, name, datasets));
  }
  return densities;
}

std::vector<GroupSpectrum> read_spectra(TolerantReader& reader, const std::vector<DatasetSpec>& datasets) {
  std::vector<GroupSpectrum> spectra;
  for (const std::string& name : groups_below("/spectrum/", datasets)) {
    GroupSpectrum spectrum = GroupReader(reader, name, datasets).read();
    if (spectrum.matrices > 0) {
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
