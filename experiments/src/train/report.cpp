#include "train/report.h"

#include <fmt/format.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "hessian/run_file.h"
#include "program/interrupt.h"
#include "program/number_text.h"
#include "program/progress.h"
#include "train/history.h"

namespace hessian::experiments {
namespace {

/// Says how a run ended.
std::string ending(const TrainReport& report) {
  if (report.interrupted) {
    return fmt::format("interrupted at step {}", report.step);
  }
  const bool finished_before = report.resumed_from == report.step;
  if (report.divergence) {
    return fmt::format("diverged: {}; {} at step {}", describe(*report.divergence),
                       finished_before ? "finished before," : "ended", report.step);
  }
  return fmt::format("finished {}at step {}", finished_before ? "before, " : "", report.step);
}

/// Formats one table per site, with one line per probe and one column per layer.
std::string format_probes(const std::vector<ProbeHistory>& probes) {
  std::string text;
  for (std::size_t site = 0; !probes.empty() && site < probes.front().sites.size(); ++site) {
    const SiteHistory& first = probes.front().sites[site];
    text += fmt::format("||H_xx||_2 at {} along training (median over sequences, nats)\n  step", first.site);
    for (const int64_t layer : first.layers) {
      text += fmt::format(" {:>9}", fmt::format("layer {}", layer));
    }
    text += '\n';
    bool all_finite = true;
    for (const ProbeHistory& probe : probes) {
      text += fmt::format("{:>6}", probe.step);
      for (const double norm : probe.sites[site].spectral_norm) {
        text += fmt::format(" {:>9}", number_text(norm, "{:.2e}", "-"));
        all_finite = all_finite && std::isfinite(norm);
      }
      text += '\n';
    }
    text += all_finite ? "" : "  -: not finite for every sequence\n";
  }
  return text;
}

/// Formats a table of both kinds of sharpness, with one line per probe; nothing if they were not measured.
std::string format_sharpness(const std::vector<ProbeHistory>& probes, int64_t sequences) {
  if (probes.empty() || !probes.front().sharpness) {
    return "";
  }
  std::string text = fmt::format(
      "sharpness along training: lambda_max of the Hessian H of the mean loss of {} held-out sequences, and of\n"
      "c P^-1/2 H P^-1/2 for Adam (nats), without the coordinates that no update has moved\n"
      "  step {:>10} {:>10} {:>10} {:>10}\n",
      sequences, "H", "Adam's", "c", "left out");
  bool all_converged = true;
  for (const ProbeHistory& probe : probes) {
    const SharpnessHistory& sharpness = *probe.sharpness;
    text += fmt::format("{:>6} {:>10.3e}", probe.step, sharpness.lambda_max);
    text += std::isnan(sharpness.preconditioned) ? fmt::format(" {:>10} {:>10} {:>10}", "-", "-", "-")
                                                 : fmt::format(" {:>10.3e} {:>10.3f} {:>10}", sharpness.preconditioned,
                                                               sharpness.clip_factor, sharpness.left_out);
    text += sharpness.converged ? "\n" : " *\n";
    all_converged = all_converged && sharpness.converged;
  }
  return text + (all_converged ? "" : "* not converged\n");
}

nlohmann::json probes_as_json(const std::vector<ProbeHistory>& probes) {
  nlohmann::json list = nlohmann::json::array();
  for (const ProbeHistory& probe : probes) {
    nlohmann::json entry;
    entry["step"] = probe.step;
    for (const SiteHistory& site : probe.sites) {
      entry["sites"][site.site] = {{"layer", site.layers}, {"spectral_norm", site.spectral_norm}, {"rms", site.rms}};
    }
    if (probe.sharpness) {
      entry["sharpness"] = {{"lambda_max", probe.sharpness->lambda_max},
                            {"preconditioned", probe.sharpness->preconditioned},
                            {"clip_factor", probe.sharpness->clip_factor},
                            {"left_out", probe.sharpness->left_out},
                            {"converged", probe.sharpness->converged}};
    }
    list.push_back(std::move(entry));
  }
  return list;
}

}  // namespace

TrainReport train_with_progress(const TrainOptions& options) {
  const InterruptGuard guard;
  TrainingProgressLine line;
  return run_training(options, [&line](const TrainProgress& progress) {
    line.update(progress.step, progress.steps, progress.loss, progress.tokens_per_second, progress.seconds_left);
  });
}

std::string format_text(const TrainReport& report) {
  std::string text = fmt::format("{}; loss {}", ending(report), number_text(report.loss, "{:.4f}"));
  if (!std::isnan(report.validation_loss)) {
    text += fmt::format(", validation {}", number_text(report.validation_loss, "{:.4f}"));
  }
  text += fmt::format(" nats; {} tokens/s\n", format_count(report.tokens_per_second));
  text += fmt::format("run file {}\n", report.run_file.string());
  if (!report.checkpoint.empty()) {
    text += fmt::format("checkpoint {}{}\n", report.checkpoint.string(),
                        report.interrupted ? "; continue with --resume" : "");
  }
  const RunFileReader run(report.run_file);
  const std::vector<ProbeHistory> probes = read_probe_history(run);
  TrainConfig config;
  read_config_text(run.info().config, report.run_file.string(), train_fields(config));
  return text + format_probes(probes) + format_sharpness(probes, sharpness_sequences(config));
}

std::string format_json(const TrainReport& report) {
  nlohmann::json object;
  object["run_file"] = report.run_file.string();
  object["checkpoint"] = report.checkpoint.string();
  object["step"] = report.step;
  object["resumed_from"] = report.resumed_from;
  object["loss"] = report.loss;
  object["validation_loss"] = report.validation_loss;
  object["interrupted"] = report.interrupted;
  object["tokens_per_second"] = report.tokens_per_second;
  object["diverged"] = report.divergence.has_value();
  if (report.divergence) {
    object["divergence"] = to_string(report.divergence->kind);
    object["diverged_at"] = report.divergence->step;
  }
  object["probes"] = probes_as_json(read_probe_history(RunFileReader(report.run_file)));
  return object.dump(2) + "\n";
}

}  // namespace hessian::experiments
