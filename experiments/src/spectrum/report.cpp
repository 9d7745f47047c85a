#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <stdexcept>

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

/// The median over blocks of a column, or of each column.
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

/// The mean over blocks of an estimate, and its standard error: blocks are independent.
std::string estimate(const at::Tensor& value, const at::Tensor& error) {
  const double blocks = static_cast<double>(value.numel());
  return fmt::format("{:.4g} +- {:.2g}", value.mean().item<double>(),
                     error.square().sum().sqrt().item<double>() / blocks);
}

const at::Tensor* find(const Numbers& numbers, const std::string& path) {
  const auto found = numbers.find(path);
  return found == numbers.end() ? nullptr : &found->second;
}

std::string group_text(const SpectrumReport& report, const SpectrumGroup& group) {
  const Numbers& numbers = report.numbers;
  std::string text = fmt::format("{}, {} entries{}\n", group.description, group.dim,
                                 group.blocks > 1 ? fmt::format(", {} sequences", group.blocks) : "");
  for (const char* end : {"upper", "lower"}) {
    if (const at::Tensor* lambda = find(numbers, spectrum_path(group, fmt::format("lambda_{}", end)))) {
      const at::Tensor& residual = numbers.at(spectrum_path(group, fmt::format("residual_{}", end)));
      const at::Tensor& converged = numbers.at(spectrum_path(group, fmt::format("converged_{}", end)));
      const auto open = static_cast<int64_t>((converged == 0).sum().item<double>());
      text += fmt::format("  {}{}; largest residual {:.1e}{}\n", end, list(medians(*lambda)),
                          residual.max().item<double>(), open > 0 ? fmt::format(", {} not converged *", open) : "");
    }
  }
  for (const auto& [name, title] : {std::pair{"trace", "trace"}, std::pair{"frobenius_norm", "Frobenius norm"},
                                    std::pair{"effective_rank", "effective rank"}}) {
    if (const at::Tensor* value = find(numbers, spectrum_path(group, name))) {
      text += fmt::format("  {} {}\n", title,
                          estimate(*value, numbers.at(spectrum_path(group, std::string(name) + "_error"))));
    }
  }
  if (const at::Tensor* mass = find(numbers, density_path(group, "mass_near_zero"))) {
    const at::Tensor& ritz = numbers.at(density_path(group, "ritz_values"));
    text += fmt::format("  density from {} probes of {} steps; share with |lambda| <= {:.2e}: {:.4f} +- {:.4f}\n",
                        ritz.size(0), ritz.size(1), numbers.at(density_path(group, "zero_threshold")).item<double>(),
                        mass->item<double>(), numbers.at(density_path(group, "mass_near_zero_error")).item<double>());
  }
  return text;
}

std::string anatomy_text(const SpectrumReport& report) {
  std::string text = fmt::format("{:>5}  {:<18} {:>14} {:>12} {:>12} {:>10} {:>10}\n", "layer", "map", "||J^T H_zz J||",
                                 "||C||", "||H_xx||", "C / gain", "|cosine|");
  const auto row = [&report](const char* name, std::size_t i) {
    return median(values_of(report.numbers.at(anatomy_path(name))[static_cast<int64_t>(i)]));
  };
  for (std::size_t i = 0; i < report.maps.size(); ++i) {
    const BlockMap& map = report.maps[i];
    const at::Tensor converged = report.numbers.at(anatomy_path("converged"))[static_cast<int64_t>(i)];
    const double gain = row("gain_norm", i);
    const double curvature = row("curvature_norm", i);
    text += fmt::format("{:>5}  {:<18} {:>14.4e} {:>12.4e} {:>12.4e} {:>10} {:>10}{}\n", map.layer, map.name, gain,
                        curvature, row("norm", i), map.normalised ? fmt::format("{:.3g}", curvature / gain) : "-",
                        map.normalised ? fmt::format("{:.3f}", row("cosine", i)) : "-",
                        (converged == 0).any().item<bool>() ? " *" : "");
  }
  return text +
         "H_xx of the map's own input in its two terms: medians over sequences, in nats; |cosine| between their "
         "dominant "
         "eigenvectors.\n";
}

int64_t open_count(const SpectrumReport& report) {
  int64_t open = 0;
  for (const auto& [path, numbers] : report.numbers) {
    if (path.find("/converged") != std::string::npos) {
      open += (numbers == 0).sum().item<int64_t>();
    }
  }
  return open;
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

}  // namespace

std::string format_text(const SpectrumReport& report) {
  std::string text =
      fmt::format("{}, step {}, {} sequences of {} tokens, loss {:.4f} nats, on {}\n", report.model_description,
                  report.step, report.sequences, report.seq_len, report.loss, report.device);
  if (!report.groups.empty()) {
    text += fmt::format("{} of\n", report.matrix);
  }
  for (const SpectrumGroup& group : report.groups) {
    text += group_text(report, group);
  }
  if (!report.groups.empty()) {
    text += "Eigenvalues: median over sequences where there are several; +- is a standard error.\n";
  }
  if (!report.maps.empty()) {
    text += anatomy_text(report);
  }
  return text + fmt::format("peak memory {}\n", hessian::format_bytes(report.peak_memory_bytes));
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
  for (const SpectrumGroup& group : report.groups) {
    nlohmann::json entry;
    entry["name"] = group.name;
    entry["description"] = group.description;
    entry["blocks"] = group.blocks;
    entry["entries"] = group.dim;
    for (const std::string& prefix : {spectrum_path(group, ""), density_path(group, "")}) {
      for (const auto& [path, numbers] : report.numbers) {
        if (path.starts_with(prefix) && !path.ends_with("/entries")) {
          entry[path.substr(prefix.size())] = nested(numbers);
        }
      }
    }
    object["groups"].push_back(std::move(entry));
  }
  object["maps"] = nlohmann::json::array();
  for (std::size_t i = 0; i < report.maps.size(); ++i) {
    nlohmann::json entry;
    entry["layer"] = report.maps[i].layer;
    entry["map"] = report.maps[i].name;
    entry["normalised"] = report.maps[i].normalised;
    for (const auto& [path, numbers] : report.numbers) {
      if (path.starts_with(anatomy_path(""))) {
        entry[path.substr(anatomy_path("").size())] = nested(numbers[static_cast<int64_t>(i)]);
      }
    }
    object["maps"].push_back(std::move(entry));
  }
  return object.dump(2) + "\n";
}

std::vector<std::string> warnings_of(const SpectrumReport& report) {
  const int64_t open = open_count(report);
  if (open == 0) {
    return {};
  }
  return {fmt::format(
      "{} eigenpairs did not converge (marked *); see their residuals, and give more --max-iter or a larger "
      "--tol",
      open)};
}

}  // namespace hessian::experiments
