#include "output/spectrum_tables.h"

#include <fmt/format.h>

#include <cmath>

#include "content/anatomy_maps.h"
#include "content/summary.h"

namespace hessian::analysis {
namespace {

std::string with_error(double value, double error) {
  return std::isfinite(error) ? fmt::format("{} ± {:.2g}", text_of(value), error) : text_of(value);
}

std::string with_error(const SpectrumEstimate& estimate) {
  const MeanEstimate mean = mean_of(estimate);
  return with_error(mean.value, mean.error);
}

/// Formats the mean over the matrices that determine an effective rank, and how many do not.
std::string rank_text(const GroupSpectrum& spectrum) {
  if (spectrum.undetermined_ranks == 0) {
    return with_error(spectrum.effective_rank);
  }
  return spectrum.undetermined_ranks == spectrum.matrices
             ? "undetermined"
             : fmt::format("{} ({} of {} undetermined)", with_error(spectrum.effective_rank),
                           spectrum.undetermined_ranks, spectrum.matrices);
}

/// Formats the median over matrices of the outermost eigenvalue.
std::string outermost(const GroupSpectrum& spectrum, const SpectrumEnd& end) {
  std::vector<double> values;
  for (std::size_t i = 0; i < end.lambda.size(); i += static_cast<std::size_t>(spectrum.count)) {
    values.push_back(end.lambda[i]);
  }
  return text_of(summarise(values).median);
}

Table eigenvalue_table(const RunContent& run, const std::string& label) {
  Table table{label + ": spectra; eigenvalues are medians over sequences, estimates their means ± standard error",
              {"matrix", "entries", "matrices", "λmax", "λmin", "largest residual norm", "trace", "Frobenius norm",
               "effective rank", "units"},
              {}};
  for (const GroupSpectrum& spectrum : run.spectra) {
    std::vector<double> residuals = spectrum.upper.residual;
    residuals.insert(residuals.end(), spectrum.lower.residual.begin(), spectrum.lower.residual.end());
    const std::string left_out =
        std::isfinite(spectrum.clip_factor)
            ? fmt::format(" ({} without updates left out; c = {})", spectrum.left_out, text_of(spectrum.clip_factor))
            : "";
    table.rows.push_back({spectrum.name, std::to_string(spectrum.entries) + left_out, std::to_string(spectrum.matrices),
                          outermost(spectrum, spectrum.upper), outermost(spectrum, spectrum.lower),
                          text_of(summarise(residuals).high), with_error(spectrum.trace),
                          with_error(spectrum.frobenius_norm), rank_text(spectrum), spectrum.units});
  }
  return table;
}

Table density_table(const RunContent& run, const std::string& label) {
  Table table{label + ": spectral densities",
              {"matrix", "samples", "Lanczos steps", "smallest Ritz value", "largest", "width of a Gaussian",
               "counts as zero up to", "share of eigenvalues near zero", "units"},
              {}};
  for (const DensityCurve& density : run.densities) {
    const Summary range = summarise(density.ritz_values);
    const auto count = [](int64_t number) { return number > 0 ? std::to_string(number) : "–"; };
    table.rows.push_back({density.name, count(density.samples), count(density.steps), text_of(range.low),
                          text_of(range.high), text_of(density.width), text_of(density.zero_threshold),
                          with_error(density.mass_near_zero, density.mass_near_zero_error), density.units});
  }
  return table;
}

Table anatomy_table(const Anatomy& anatomy, const std::string& label) {
  Table table{fmt::format("{}: H_xx = Jᵀ H_zz J + C at linear maps; medians over {} sequences, norms in nats", label,
                          anatomy.sequences),
              {"layer", "map", "‖Jᵀ H_zz J‖₂", "‖C‖₂", "‖H_xx‖₂", "C / gain", "|cosine|", "converged"},
              {}};
  for (std::size_t row = 0; row < anatomy.map.size(); ++row) {
    const auto median = [&](const MapQuantity& quantity) { return text_of(summarise(quantity(anatomy, row)).median); };
    table.rows.push_back({std::to_string(anatomy.layer[row]), anatomy.map[row], median(gain_of_map),
                          anatomy.normalised[row] == 0 ? "0" : median(curvature_of_map),
                          text_of(summarise(anatomy.over_sequences(anatomy.norm, row)).median), median(ratio_of_map),
                          median(cosine_of_map),
                          fmt::format("{} of {}", anatomy.converged_count(row), anatomy.sequences)});
  }
  return table;
}

}  // namespace

std::string text_of(double value) {
  return std::isfinite(value) ? fmt::format("{:.4g}", value) : "–";
}

std::vector<Table> spectrum_tables(const RunContent& run, const std::string& label) {
  std::vector<Table> tables;
  if (!run.spectra.empty()) {
    tables.push_back(eigenvalue_table(run, label));
  }
  if (!run.densities.empty()) {
    tables.push_back(density_table(run, label));
  }
  if (run.anatomy) {
    tables.push_back(anatomy_table(*run.anatomy, label));
  }
  return tables;
}

std::vector<std::string> spectrum_warnings(const RunContent& run, const std::string& label) {
  std::vector<std::string> warnings;
  for (const GroupSpectrum& spectrum : run.spectra) {
    if (const int64_t open = spectrum.upper.unconverged() + spectrum.lower.unconverged(); open > 0) {
      warnings.push_back(
          fmt::format("{}: {} of {} eigenpairs of {} did not reach their tolerance; their residual norms bound the "
                      "error",
                      label, open, spectrum.upper.lambda.size() + spectrum.lower.lambda.size(), spectrum.name));
    }
  }
  if (run.anatomy && run.anatomy->unconverged() > 0) {
    warnings.push_back(fmt::format("{}: at {} of {} linear maps and sequences an estimate did not reach its tolerance",
                                   label, run.anatomy->unconverged(), run.anatomy->converged.size()));
  }
  return warnings;
}

}  // namespace hessian::analysis
