#include "probe_writer.h"

#include <toml++/toml.h>
#include <algorithm>
#include <sstream>
#include <stdexcept>
#include <utility>

#include "experiments/dtype.h"
#include "experiments/program.h"

namespace experiments {
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

RunInfo run_info(const ProbeOptions& options, const models::GptConfig& config, const std::string& device,
                 const ProbeLayoutOptions& layout) {
  RunInfo info;
  info.program = "hessian-probe";
  info.command_line = options.command_line;
  info.git_commit = git_commit();
  info.seed = options.seed;
  info.device = device;
  info.dtype = dtype_name(options.dtype);
  info.config = config_text(options, layout);
  info.model = models::config_to_json(config);
  return info;
}

}  // namespace

ProbeWriter::ProbeWriter(const ProbeOptions& options, const models::GptConfig& config, const std::string& device,
                         ProbeLayoutOptions layout)
    : layout_(std::move(layout)),
      writer_(RunFileWriter::create(options.out, run_info(options, config, device, layout_), probe_datasets(layout_),
                                    options.overwrite)) {
  write_probe_layers(writer_, layout_);
}

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
  const auto of_sequences = [&](const char* name, const auto& values) {
    writer_.write(probe_path(site, name), {0, place, 0}, {1, 1, layout_.sequences}, std::span(values));
  };
  const auto of_row = [&](const char* name, double value) {
    writer_.write(probe_path(site, name), {0, place}, {1, 1}, std::span<const double>(&value, 1));
  };
  of_sequences("spectral_norm", row.spectral_norm);
  of_sequences("lambda_max", row.lambda_max);
  of_sequences("lambda_min", row.lambda_min);
  of_sequences("residual_norm", row.residual_norm);
  of_sequences("iterations", row.iterations);
  of_sequences("converged", row.converged);
  of_row("rms", row.scale.rms);
  of_row("abs_max", row.scale.abs_max);
  of_row("abs_mean", row.scale.abs_mean);
  of_row("feature_outlier", row.scale.feature_outlier);
  if (row.check_relative_difference) {
    of_row("check_relative_difference", *row.check_relative_difference);
  }
  writer_.flush();
}

void ProbeWriter::finish(int64_t peak_memory_bytes) {
  writer_.set_peak_memory_bytes(peak_memory_bytes);
  writer_.finish();
}

}  // namespace experiments
