#include "probe/writer.h"

#include <toml++/toml.h>

#include <algorithm>
#include <map>
#include <sstream>
#include <stdexcept>
#include <utility>
#include <variant>

#include "config/dtype.h"
#include "hessian/models/named_models.h"
#include "program/program.h"

namespace hessian::experiments {
namespace {

/// Everything that decided the run, as the run file's `config`.
std::string config_text(const ProbeOptions& options, const ProbeLayoutOptions& layout) {
  toml::array sites;
  for (const ProbedSite& site : layout.sites) {
    sites.push_back(site.name);
  }
  toml::table probe{
      {"model", options.model},
      {"layers", options.layers},
      {"sites", sites},
      {"data", options.data},
      {"sequences", layout.sequences},
      {"seq_len", options.seq_len},
      {"unit", to_string(options.unit)},
      {"method", to_string(options.method)},
      {"engine", to_string(options.engine.value())},
      {"ends", to_string(options.ends)},
      {"tolerance", options.tolerance},
      {"max_iterations", options.max_iterations},
      {"dtype", dtype_name(options.dtype)},
      {"device", options.device},
      {"seed", static_cast<int64_t>(options.seed)},
      {"check", options.check},
  };
  if (options.memory_bytes) {
    probe.insert("memory_bytes", *options.memory_bytes);
  }
  if (options.vocab_size) {
    probe.insert("vocab_size", *options.vocab_size);
  }
  std::ostringstream text;
  text << toml::table{{"probe", probe}} << '\n';
  return text.str();
}

/// Calls `visit(name, values)` with every quantity of a row: those of its sequences, then those of the row.
template <class Visitor>
void for_each_quantity(const ProbeRow& row, const Visitor& visit) {
  visit("spectral_norm", row.spectral_norm);
  visit("lambda_max", row.lambda_max);
  visit("lambda_min", row.lambda_min);
  visit("residual_norm", row.residual_norm);
  visit("iterations", row.iterations);
  visit("converged", row.converged);
  visit("rms", std::vector<double>{row.scale.rms});
  visit("abs_max", std::vector<double>{row.scale.abs_max});
  visit("abs_mean", std::vector<double>{row.scale.abs_mean});
  visit("feature_outlier", std::vector<double>{row.scale.feature_outlier});
  if (row.check_relative_difference) {
    visit("check_relative_difference", std::vector<double>{*row.check_relative_difference});
  }
}

}  // namespace

RunInfo probe_run_info(const ProbeOptions& options, const models::GptConfig& config, const std::string& device,
                       std::string config_text) {
  RunInfo info;
  info.program = "hessian-probe";
  info.command_line = options.command_line;
  info.git_commit = git_commit();
  info.seed = options.seed;
  info.device = device;
  info.dtype = dtype_name(options.dtype);
  info.config = std::move(config_text);
  info.model = models::labelled_config_json(config);
  return info;
}

ProbeWriter::ProbeWriter(const ProbeOptions& options, const models::GptConfig& config, const std::string& device,
                         ProbeLayoutOptions layout)
    : layout_(std::move(layout)),
      writer_(RunFileWriter::create(options.out, probe_run_info(options, config, device, config_text(options, layout_)),
                                    probe_datasets(layout_), options.overwrite,
                                    [this](RunFileWriter& writer) { write_probe_layers(writer, layout_); })) {}

void ProbeWriter::write_overview(int64_t step, const std::vector<double>& losses,
                                 const std::vector<int64_t>& positions) {
  writer_.write("/probe/step", {0}, {1}, std::span<const int64_t>(&step, 1));
  writer_.write("/probe/loss", {0, 0}, {1, layout_.sequences}, losses);
  if (layout_.token_position) {
    writer_.write("/probe/token_position", {0}, {layout_.sequences}, positions);
  }
  writer_.flush();
}

void ProbeWriter::write_row(const ProbeRow& row) {
  const std::string site = models::to_string(row.site);
  const auto found = std::find_if(layout_.sites.begin(), layout_.sites.end(),
                                  [&site](const ProbedSite& probed) { return probed.name == site; });
  if (found == layout_.sites.end()) {
    throw std::logic_error("a row of a site that the file does not have: " + site);
  }
  const int64_t place = std::find(found->layers.begin(), found->layers.end(), row.layer) - found->layers.begin();
  for_each_quantity(row, [&](const char* name, const auto& values) {
    const bool of_sequences = writer_.shape(probe_path(site, name)).size() == 3;
    const Shape offset = of_sequences ? Shape{0, place, 0} : Shape{0, place};
    const Shape count = of_sequences ? Shape{1, 1, layout_.sequences} : Shape{1, 1};
    writer_.write(probe_path(site, name), offset, count, std::span(values));
  });
  writer_.flush();
}

void append_probe(RunFileWriter& writer, const ProbeLayoutOptions& layout, int64_t step,
                  const std::vector<double>& losses, const std::vector<ProbeRow>& rows) {
  for (const ProbedSite& site : layout.sites) {
    // A probe is one row of each dataset: the values of all layers one behind the other.
    std::map<std::string, std::variant<std::vector<double>, std::vector<int32_t>, std::vector<uint8_t>>> columns;
    for (const ProbeRow& row : rows) {
      if (models::to_string(row.site) == site.name) {
        for_each_quantity(row, [&columns]<class T>(const char* name, const std::vector<T>& values) {
          auto& column = columns.try_emplace(name, std::vector<T>()).first->second;
          auto& joined = std::get<std::vector<T>>(column);
          joined.insert(joined.end(), values.begin(), values.end());
        });
      }
    }
    for (const auto& [name, column] : columns) {
      std::visit(
          [&, &path = name](const auto& values) { writer.append(probe_path(site.name, path), std::span(values)); },
          column);
    }
  }
  writer.append("/probe/loss", losses);
  // Last, so that a probe whose step stands in the file is whole.
  writer.append("/probe/step", std::span<const int64_t>(&step, 1));
}

void ProbeWriter::write_plan(const ProbeReport& report) {
  const uint8_t streamed = report.weights_streamed ? 1 : 0;
  writer_.write("/plan/weights_streamed", {0}, {1}, std::span(&streamed, 1));
  if (report.planned_bytes) {
    writer_.write("/plan/memory_bytes", {0}, {1}, std::span(&*report.planned_bytes, 1));
  }
  if (report.planned_seconds) {
    writer_.write("/plan/seconds", {0}, {1}, std::span(&*report.planned_seconds, 1));
  }
  writer_.flush();
}

void ProbeWriter::finish(const ProbeReport& report) {
  writer_.write("/plan/elapsed_seconds", {0}, {1}, std::span(&report.seconds, 1));
  writer_.set_peak_memory_bytes(report.peak_memory_bytes);
  writer_.finish();
}

}  // namespace hessian::experiments
