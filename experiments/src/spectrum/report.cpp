#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "hessian/memory.h"
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

/// \param certified  whether convergence includes that no eigenvalue is missing
std::string end_line(const char* name, const SpectrumEnd& end, bool certified) {
  if (!end.values.isfinite().all().item<bool>()) {
    return fmt::format("  {} not finite\n", name);
  }
  const int64_t unconverged = count_unconverged(end.converged);
  const std::string all_converged = certified ? "; none is missing" : "";
  return fmt::format("  {}{}; largest residual {:.1e}{}\n", name, list(medians(end.values)),
                     end.residuals.max().item<double>(),
                     unconverged > 0 ? fmt::format(", {} not converged *", unconverged) : all_converged);
}

/// Formats the mean of an estimate over the matrices and the standard error of this mean for independent matrices.
std::string estimate_line(const char* name, const Estimate& estimate) {
  const double count = static_cast<double>(estimate.value.numel());
  return fmt::format("  {} {:.4g} +- {:.2g}\n", name, estimate.value.mean().item<double>(),
                     estimate.standard_error.square().sum().sqrt().item<double>() / count);
}

std::string density_line(const SpectralDensity& density) {
  const at::Tensor& ritz = density.quadrature.nodes;
  return fmt::format("  density from {} samples of {} steps; share with |lambda| <= {:.2e}: {:.4f} +- {:.4f}\n",
                     ritz.size(0), ritz.size(1), density.zero_threshold.item<double>(),
                     density.mass_near_zero.value.item<double>(), density.mass_near_zero.standard_error.item<double>());
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
  text += spectrum.effective_rank ? estimate_line("effective rank", *spectrum.effective_rank) : "";
  text += spectrum.density ? density_line(*spectrum.density) : "";
  return text;
}

std::string anatomy_text(const std::vector<MapAnatomy>& maps) {
  std::string text = fmt::format("{:>5}  {:<18} {:>14} {:>12} {:>12} {:>10} {:>10}\n", "layer", "map", "||J^T H_zz J||",
                                 "||C||", "||H_xx||", "C / gain", "|cosine|");
  for (const MapAnatomy& anatomy : maps) {
    const LayerMap& map = anatomy.map;
    const double gain = median(values_of(anatomy.gain_norm));
    const double curvature = median(values_of(anatomy.curvature_norm));
    text += fmt::format("{:>5}  {:<18} {:>14.4e} {:>12.4e} {:>12.4e} {:>10} {:>10}{}\n", map.layer, map.name, gain,
                        curvature, median(values_of(anatomy.norm)),
                        map.normalised ? fmt::format("{:.3g}", curvature / gain) : "-",
                        map.normalised ? fmt::format("{:.3f}", median(values_of(anatomy.cosine))) : "-",
                        count_unconverged(anatomy.converged) > 0 ? " *" : "");
  }
  return text +
         "H_xx of the map's own input in its two terms: medians over sequences, in nats; |cosine| between their "
         "dominant eigenvectors.\n";
}

int64_t count_unconverged(const SpectrumReport& report) {
  int64_t count = 0;
  for (const GroupSpectrum& spectrum : report.groups) {
    count += spectrum.upper ? count_unconverged(spectrum.upper->converged) : 0;
    count += spectrum.lower ? count_unconverged(spectrum.lower->converged) : 0;
  }
  for (const MapAnatomy& anatomy : report.maps) {
    count += count_unconverged(anatomy.converged);
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
  const int64_t unconverged = count_unconverged(report);
  if (unconverged == 0) {
    return {};
  }
  return {
      fmt::format("{} eigenpairs did not converge (marked *): check their residuals, and raise --max-iter, --tol or "
                  "--certify",
                  unconverged)};
}

}  // namespace hessian::experiments
