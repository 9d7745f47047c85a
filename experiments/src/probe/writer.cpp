#include "probe/writer.h"

#include <algorithm>
#include <map>
#include <span>
#include <stdexcept>
#include <utility>
#include <variant>

#include "config/dtype.h"
#include "hessian/models/named_models.h"

namespace hessian::experiments {
namespace {

/// Calls `visit(name, values)` for each quantity of a row: first those with a value per sequence, then those with one.
template <class Visitor>
void for_each_quantity(const ProbeRow& row, bool both_ends, const Visitor& visit) {
  visit("spectral_norm", row.spectral_norm);
  visit("lambda_max", row.lambda_max);
  visit("lambda_min", row.lambda_min);
  visit("norm_upper", row.norm_upper);
  if (both_ends) {
    visit("lambda_max_upper", row.lambda_max_upper);
    visit("lambda_min_lower", row.lambda_min_lower);
  }
  visit("residual_norm", row.residual_norm);
  visit("asymmetry", row.asymmetry);
  visit("iterations", row.iterations);
  visit("converged", row.converged);
  visit("rms", std::vector<double>{row.scale.rms});
  visit("abs_max", std::vector<double>{row.scale.abs_max});
  visit("abs_mean", std::vector<double>{row.scale.abs_mean});
  visit("feature_outlier", std::vector<double>{row.scale.feature_outlier});
  if (row.check) {
    visit("check_relative_difference", std::vector<double>{row.check->central_differences});
    visit("check_precision_difference", std::vector<double>{row.check->own_precision});
  }
}

}  // namespace

RunInfo probe_run_info(const ProbeOptions& options, const ProbeOutput& output, const models::GptConfig& config,
                       const std::string& device, std::string config_text) {
  RunInfo info = make_run_info("hessian-probe", output.command_line);
  info.seed = options.seed;
  info.device = device;
  info.dtype = dtype_name(options.dtype);
  info.config = std::move(config_text);
  info.model = models::labelled_config_json(config);
  return info;
}

ProbeWriter::ProbeWriter(const ProbeOptions& options, const ProbeOutput& output, const models::GptConfig& config,
                         const std::string& device, ProbeLayoutOptions layout)
    : layout_(std::move(layout)), writer_([&] {
        ProbeOptions used = options;
        const RunInfo info =
            probe_run_info(options, output, config, device, config_section("probe", probe_options(used)));
        return RunFileWriter::create(output.path, info, probe_datasets(layout_), output.overwrite,
                                     [this](RunFileWriter& writer) { write_probe_layers(writer, layout_); });
      }()) {}

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
    throw std::logic_error("the run file has no site " + site);
  }
  const int64_t place = std::find(found->layers.begin(), found->layers.end(), row.layer) - found->layers.begin();
  for_each_quantity(row, layout_.both_ends, [&](const char* name, const auto& values) {
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
    // A probe is one row of each dataset: the values of all layers, concatenated.
    std::map<std::string, std::variant<std::vector<double>, std::vector<int32_t>, std::vector<uint8_t>>> columns;
    for (const ProbeRow& row : rows) {
      if (models::to_string(row.site) == site.name) {
        for_each_quantity(row, layout.both_ends, [&columns]<class T>(const char* name, const std::vector<T>& values) {
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
  // Written last, so that a probe whose step is in the file is complete.
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
