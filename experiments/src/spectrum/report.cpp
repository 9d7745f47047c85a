#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>

#include "hessian/memory.h"
#include "probe/report.h"
#include "program/number_text.h"
#include "program/statistics.h"
#include "spectrum/layout.h"
#include "spectrum/spectrum.h"

namespace hessian::experiments {
namespace {

std::vector<double> values_of(const at::Tensor& tensor) {
  const at::Tensor values = tensor.to(at::kDouble).contiguous();
  return {values.const_data_ptr<double>(), values.const_data_ptr<double>() + values.numel()};
}

/// Returns the median over the matrices of each column.
std::vector<double> medians(const at::Tensor& numbers) {
  const at::Tensor columns = numbers.flatten(1);
  std::vector<double> all;
  for (int64_t j = 0; j < columns.size(1); ++j) {
    all.push_back(median(values_of(columns.select(1, j))));
  }
  return all;
}

std::string list(const std::vector<double>& values) {
  std::string text;
  for (const double value : values) {
    text += fmt::format(" {:>11.4e}", value);
  }
  return text;
}

int64_t count_unconverged(const at::Tensor& converged) {
  return (converged == 0).sum().item<int64_t>();
}

/// Returns how many of the matrices are left out of a number, for the end of its line.
std::string left_out(int64_t count, int64_t all, const char* why) {
  return count > 0 ? fmt::format("; without {} of {}, {}", count, all, why) : "";
}

constexpr const char* not_finite = "which are not finite";

/// \param certified  whether convergence includes that no eigenvalue is missing
std::string end_line(const char* name, const SpectrumEnd& end, bool certified) {
  const at::Tensor finite = end.values.isfinite().all(1);
  const int64_t count = finite.sum().item<int64_t>();
  if (count == 0) {
    return fmt::format("  {} not finite\n", name);
  }
  const at::Tensor rows = finite.nonzero().squeeze(1);
  const int64_t unconverged = count_unconverged(end.converged.index_select(0, rows));
  const std::string all_converged = certified ? "; none is missing" : "";
  return fmt::format("  {}{}; largest residual {:.1e}{}{}\n", name, list(medians(end.values.index_select(0, rows))),
                     end.residuals.index_select(0, rows).max().item<double>(),
                     unconverged > 0 ? fmt::format(", {} not converged *", unconverged) : all_converged,
                     left_out(finite.numel() - count, finite.numel(), not_finite));
}

/// Formats the mean of an estimate over some matrices and the standard error of this mean for independent matrices.
/// \param used    [S] bool, at least one
/// \param reason  why the others are left out
std::string mean_line(const char* name, const Estimate& estimate, const at::Tensor& used, const char* reason) {
  const at::Tensor errors = estimate.standard_error.masked_select(used);
  const int64_t count = errors.numel();
  return fmt::format("  {} {:.4g} +- {:.2g}{}\n", name, estimate.value.masked_select(used).mean().item<double>(),
                     errors.square().sum().sqrt().item<double>() / static_cast<double>(count),
                     left_out(used.numel() - count, used.numel(), reason));
}

std::string estimate_line(const char* name, const Estimate& estimate) {
  const at::Tensor finite = estimate.value.isfinite();
  return finite.any().item<bool>() ? mean_line(name, estimate, finite, not_finite)
                                   : fmt::format("  {} not finite\n", name);
}

std::string rank_line(const GroupSpectrum& spectrum) {
  const at::Tensor determined = spectrum.effective_rank_determined.to(at::kBool);
  if (determined.any().item<bool>()) {
    return mean_line("effective rank", *spectrum.effective_rank, determined,
                     "whose traces are within 2 standard errors of zero or not finite");
  }
  const at::Tensor& norm = spectrum.frobenius_norm->value;
  const char* reason = "undetermined (the trace is within 2 standard errors of zero)";
  if ((norm == 0).all().item<bool>()) {
    reason = "undefined (trace 0)";
  } else if (norm.isnan().all().item<bool>()) {
    reason = "not finite";
  }
  return fmt::format("  effective rank {}\n", reason);
}

/// Returns the number of samples of a density whose products are not finite.
int64_t count_unknown_samples(const SpectralDensity& density) {
  return density.quadrature.weights.isnan().any(1).sum().item<int64_t>();
}

std::string density_line(const SpectralDensity& density) {
  const double threshold = density.zero_threshold.item<double>();
  if (!std::isfinite(threshold)) {
    return "  density not finite\n";
  }
  const at::Tensor& ritz = density.quadrature.nodes;
  const int64_t unknown = count_unknown_samples(density);
  return fmt::format("  density from {} samples of {} steps; share with |lambda| <= {:.2e}: {:.4f} +- {:.4f}{}\n",
                     ritz.size(0) - unknown, ritz.size(1), threshold, density.mass_near_zero.value.item<double>(),
                     density.mass_near_zero.standard_error.item<double>(), left_out(unknown, ritz.size(0), not_finite));
}

std::string group_text(const GroupSpectrum& spectrum, bool certified) {
  const SpectrumGroup& group = spectrum.group;
  std::string text = fmt::format("{}, {} entries{}\n", group.description, group.dim,
                                 group.problems > 1 ? fmt::format(", {} sequences", group.problems) : "");
  if (group.adam) {
    text += fmt::format("  clip factor c = {:.4g}; {} coordinates that no update has moved are left out\n",
                        group.adam->clip_factor, group.adam->left_out);
  }
  text += spectrum.upper ? end_line("upper", *spectrum.upper, certified) : "";
  text += spectrum.lower ? end_line("lower", *spectrum.lower, certified) : "";
  text += spectrum.trace ? estimate_line("trace", *spectrum.trace) : "";
  text += spectrum.frobenius_norm ? estimate_line("Frobenius norm", *spectrum.frobenius_norm) : "";
  text += spectrum.effective_rank ? rank_line(spectrum) : "";
  text += spectrum.density ? density_line(*spectrum.density) : "";
  return text;
}

std::string anatomy_text(const std::vector<MapAnatomy>& maps) {
  std::string text = fmt::format("{:>5}  {:<18} {:>14} {:>12} {:>12} {:>10} {:>10}\n", "layer", "map", "||J^T H_zz J||",
                                 "||C||", "||H_xx||", "C / gain", "|cosine|");
  bool all_finite = true;
  for (const MapAnatomy& anatomy : maps) {
    const LayerMap& map = anatomy.map;
    const double gain = median(values_of(anatomy.gain_norm));
    const double curvature = median(values_of(anatomy.curvature_norm));
    const double norm = median(values_of(anatomy.norm));
    all_finite = all_finite && std::isfinite(gain + curvature + norm);
    const double unknown = std::numeric_limits<double>::quiet_NaN();
    text += fmt::format("{:>5}  {:<18} {:>14} {:>12} {:>12} {:>10} {:>10}{}\n", map.layer, map.name,
                        number_text(gain, "{:.4e}", "-"), number_text(curvature, "{:.4e}", "-"),
                        number_text(norm, "{:.4e}", "-"),
                        number_text(map.normalised && gain > 0 ? curvature / gain : unknown, "{:.3g}", "-"),
                        number_text(map.normalised ? median(values_of(anatomy.cosine)) : unknown, "{:.3f}", "-"),
                        count_unconverged(anatomy.converged) > 0 ? " *" : "");
  }
  return text +
         "H_xx of the map's own input in its two terms: medians over sequences, in nats; |cosine| between their "
         "dominant eigenvectors.\n" +
         (all_finite ? "" : "-: not finite for every sequence.\n");
}

/// Numbers of eigenpairs, and of norms of terms of H_xx.
struct PairCounts {
  int64_t not_finite = 0;
  int64_t unconverged = 0;  ///< finite ones that did not converge

  void add(const at::Tensor& values, const at::Tensor& converged) {
    const at::Tensor unknown = values.isfinite().logical_not();
    not_finite += unknown.sum().item<int64_t>();
    unconverged += (converged == 0).logical_and(unknown.logical_not()).sum().item<int64_t>();
  }
};

PairCounts count_pairs(const SpectrumReport& report) {
  PairCounts counts;
  for (const GroupSpectrum& spectrum : report.groups) {
    for (const auto* end : {&spectrum.upper, &spectrum.lower}) {
      if (*end) {
        counts.add((*end)->values, (*end)->converged);
      }
    }
  }
  for (const MapAnatomy& anatomy : report.maps) {
    counts.add(anatomy.gain_norm + anatomy.curvature_norm + anatomy.norm, anatomy.converged);
  }
  return counts;
}

/// Returns the number of matrices whose estimates from random samples are not finite.
int64_t count_unknown_estimates(const SpectrumReport& report) {
  int64_t count = 0;
  for (const GroupSpectrum& spectrum : report.groups) {
    if (spectrum.frobenius_norm) {
      count += spectrum.frobenius_norm->value.isnan().sum().item<int64_t>();
    } else if (spectrum.diagonal_unknown.defined()) {
      count += spectrum.diagonal_unknown.sum().item<int64_t>();
    } else if (spectrum.density) {
      count += count_unknown_samples(*spectrum.density) / std::max<int64_t>(1, report.options.samples);
    }
  }
  return count;
}

nlohmann::json nested(const at::Tensor& numbers) {
  if (numbers.dim() == 0) {
    return numbers.item<double>();
  }
  nlohmann::json array = nlohmann::json::array();
  for (int64_t i = 0; i < numbers.size(0); ++i) {
    array.push_back(nested(numbers[i]));
  }
  return array;
}

/// Adds the numbers that the run file stores, under the same names.
void add_numbers(nlohmann::json& entry, const std::vector<StoredTensor>& tensors) {
  for (const StoredTensor& stored : tensors) {
    if (stored.tensor->defined()) {
      entry[stored.quantity] = nested(*stored.tensor);
    }
  }
}

nlohmann::json json_of(const SpectrumOptions& options, GroupSpectrum spectrum) {
  nlohmann::json entry;
  entry["name"] = spectrum.group.name;
  entry["description"] = spectrum.group.description;
  entry["blocks"] = spectrum.group.problems;
  entry["entries"] = spectrum.group.dim;
  if (const auto& adam = spectrum.group.adam) {
    entry["clip_factor"] = adam->clip_factor;
    entry["left_out"] = adam->left_out;
  }
  add_numbers(entry, stored_tensors(options, spectrum));
  return entry;
}

nlohmann::json json_of(MapAnatomy anatomy, int64_t sequences) {
  nlohmann::json entry;
  entry["layer"] = anatomy.map.layer;
  entry["map"] = anatomy.map.name;
  entry["normalised"] = anatomy.map.normalised;
  add_numbers(entry, stored_tensors(anatomy, sequences));
  return entry;
}

}  // namespace

std::string format_text(const SpectrumReport& report) {
  std::string text =
      fmt::format("{}, step {}, {} sequences of {} tokens, loss {:.4f} nats, on {}\n", report.model_description,
                  report.step, report.sequences, report.seq_len, report.loss, report.device);
  if (!report.groups.empty()) {
    text += fmt::format("{} of\n", report.matrix);
  }
  for (const GroupSpectrum& spectrum : report.groups) {
    text += group_text(spectrum, report.options.block_width == 1);
  }
  if (!report.groups.empty()) {
    const bool several = std::any_of(report.groups.begin(), report.groups.end(),
                                     [](const GroupSpectrum& spectrum) { return spectrum.group.problems > 1; });
    text += several ? "Eigenvalues: median over sequences; +- is a standard error.\n" : "+- is a standard error.\n";
    if (report.options.top > 0) {
      text += report.options.block_width > 1
                  ? "Block Lanczos has no certificate: eigenvalues may be missing.\n"
                  : fmt::format(
                        "None is missing: every eigenvalue of these ranks lies within {:.3g} % of the spectral norm of "
                        "one of those listed, with probability {}; repetitions are not counted.\n",
                        100 * report.options.probe.certify, report.options.probe.confidence);
    }
  }
  if (!report.maps.empty()) {
    text += anatomy_text(report.maps);
  }
  return text + fmt::format("peak memory {}\n", format_bytes(report.peak_memory_bytes));
}

std::string format_json(const SpectrumReport& report) {
  nlohmann::json object;
  object["model"] = report.model_description;
  object["device"] = report.device;
  object["operator"] = report.matrix;
  object["step"] = report.step;
  object["sequences"] = report.sequences;
  object["seq_len"] = report.seq_len;
  object["loss"] = report.loss;
  object["peak_memory_bytes"] = report.peak_memory_bytes;
  object["groups"] = nlohmann::json::array();
  for (const GroupSpectrum& spectrum : report.groups) {
    object["groups"].push_back(json_of(report.options, spectrum));
  }
  object["maps"] = nlohmann::json::array();
  for (const MapAnatomy& anatomy : report.maps) {
    object["maps"].push_back(json_of(anatomy, report.sequences));
  }
  return object.dump(2) + "\n";
}

std::vector<std::string> warnings_of(const SpectrumReport& report) {
  const PairCounts pairs = count_pairs(report);
  const int64_t unknown = count_unknown_estimates(report);
  const std::string overflow = overflow_of_products(report.options.probe.dtype);
  std::vector<std::string> warnings;
  if (pairs.not_finite > 0) {
    warnings.push_back(fmt::format("{} eigenpairs are not finite: {}", pairs.not_finite, overflow));
  }
  if (unknown > 0) {
    warnings.push_back(fmt::format("the estimates of {} matrices are not finite: {}", unknown, overflow));
  }
  if (pairs.unconverged > 0) {
    warnings.push_back(
        fmt::format("{} eigenpairs did not converge (marked *): check their residuals, and raise --max-iter, --tol or "
                    "--certify",
                    pairs.unconverged));
  }
  return warnings;
}

}  // namespace hessian::experiments
