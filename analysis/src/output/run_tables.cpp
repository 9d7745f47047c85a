#include "output/run_tables.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <utility>

#include "content/run_labels.h"
#include "content/sharpness_sequences.h"
#include "content/summary.h"
#include "output/findings.h"
#include "output/spectrum_tables.h"

namespace hessian::analysis {
namespace {

std::string range_text(const Summary& summary) {
  return text_of(summary.low) + " … " + text_of(summary.high);
}

std::string memory_text(int64_t bytes) {
  return bytes > 0 ? fmt::format("{:.0f} MiB", static_cast<double>(bytes) / (1024.0 * 1024.0)) : "–";
}

Table facts_of(const std::vector<RunContent>& runs, const std::vector<std::string>& labels) {
  Table table{
      "Runs",
      {"run", "program", "model", "seed", "device", "precision", "created", "finished", "peak memory", "commit"},
      {}};
  for (std::size_t i = 0; i < runs.size(); ++i) {
    const RunContent& run = runs[i];
    table.rows.push_back({labels[i], run.info.program, model_text(run), std::to_string(run.info.seed), run.info.device,
                          run.info.dtype, run.created, run.finished ? "yes" : "no", memory_text(run.peak_memory_bytes),
                          run.info.git_commit.substr(0, 12)});
  }
  return table;
}

/// Lists the last probe of a site, a row per layer.
Table probe_table(const SiteProbes& site, const std::string& label) {
  const std::size_t last = site.steps.size() - 1;
  Table table{label + ": " + site.site + " at step " + std::to_string(site.steps[last]) + ", " +
                  std::to_string(site.sequences) + " sequences; norms and eigenvalues in nats",
              {"layer", "‖Hₓₓ‖₂, median", "upper bound", "range", "λmin, median", "largest residual norm", "converged",
               "RMS", "largest |x|"},
              {}};
  for (std::size_t row = 0; row < site.layers.size(); ++row) {
    const Summary norm = summarise(site.over_sequences(site.spectral_norm, last, row));
    const auto number_of = [&](const std::vector<double>& values) {
      return values.empty() ? std::nan("") : values[last * site.layers.size() + row];
    };
    const auto summary_of = [&](const std::vector<double>& values) {
      return values.empty() ? Summary{NAN, NAN, NAN} : summarise(site.over_sequences(values, last, row));
    };
    table.rows.push_back({std::to_string(site.layers[row]), text_of(norm.median),
                          text_of(summary_of(site.norm_upper).median), range_text(norm),
                          text_of(summary_of(site.lambda_min).median), text_of(summary_of(site.residual_norm).high),
                          fmt::format("{} of {}", site.converged_count(last, row), site.sequences),
                          text_of(number_of(site.rms)), text_of(number_of(site.abs_max))});
  }
  return table;
}

Table training_table(const std::vector<RunContent>& runs, const std::vector<std::string>& labels) {
  Table table{"Training",
              {"run", "steps", "first loss (nats)", "last loss (nats)", "validation loss (nats)", "peak learning rate",
               "largest gradient norm"},
              {}};
  for (std::size_t i = 0; i < runs.size(); ++i) {
    const auto& training = runs[i].training;
    if (training && !training->steps.empty()) {
      table.rows.push_back({labels[i], std::to_string(training->steps.back()), text_of(training->loss.front()),
                            text_of(training->loss.back()),
                            training->val_loss.empty() ? "–" : text_of(training->val_loss.back()),
                            text_of(summarise(training->lr).high), text_of(summarise(training->grad_norm).high)});
    }
  }
  return table;
}

/// Lists both kinds of sharpness at each probe of the training runs.
Table sharpness_table(const std::vector<RunContent>& runs, const std::vector<std::string>& labels) {
  Table table{"Sharpness: λmax of the Hessian H of the mean loss of held-out sequences, and of c P^-½ H P^-½ (nats)",
              {"run", "sequences", "step", "λmax of H", "λmax of c P^-½ H P^-½", "clip factor c",
               "coordinates without updates, left out", "converged"},
              {}};
  for (std::size_t i = 0; i < runs.size(); ++i) {
    const auto& bare = runs[i].sharpness;
    const auto& adam = runs[i].preconditioned_sharpness;
    const auto sequences = sharpness_sequences(runs[i]);
    for (std::size_t probe = 0; bare && probe < bare->steps.size(); ++probe) {
      const bool has_adam = adam && probe < adam->steps.size() && std::isfinite(adam->lambda_max[probe]);
      const bool has_factors = has_adam && !adam->left_out.empty();
      const bool converged = bare->converged[probe] != 0 && (!has_adam || adam->converged[probe] != 0);
      table.rows.push_back({labels[i], sequences ? std::to_string(sequences->measured) : "–",
                            std::to_string(bare->steps[probe]), text_of(bare->lambda_max[probe]),
                            has_adam ? text_of(adam->lambda_max[probe]) : "–",
                            has_factors ? text_of(adam->clip_factor[probe]) : "–",
                            has_factors ? std::to_string(adam->left_out[probe]) : "–", converged ? "yes" : "no"});
    }
  }
  return table;
}

Table sweep_table(const SweepRuns& sweep, const RunContent& run, const std::string& label) {
  struct Column {
    const char* name;
    const char* header;
  };
  static const std::vector<Column> columns = {
      {"largest_stable_lr", "largest stable rate"},
      {"smallest_unstable_lr", "smallest unstable rate"},
      {"best_loss", "best loss (nats)"},
      {"best_lr", "at rate"},
      {"lr_sensitivity", "sensitivity (nats)"},
      {"activation_rate", "2 / λmax(Hₓₓ)"},
      {"sharpness_rate", "2 / sharpness"},
      {"preconditioned_rate", "Adam's limit"},
  };
  Table table{label + ": largest stable learning rates", {"model"}, {}};
  if (const std::string sequences = sharpness_sequences_text({run}); !sequences.empty()) {
    table.title += "; sharpness and Adam's limit of the mean loss of " + sequences;
  }
  for (const Column& column : columns) {
    table.header.emplace_back(column.header);
  }
  for (const std::string& model : sweep.models) {
    std::vector<std::string> row = {model};
    for (const Column& column : columns) {
      row.push_back(text_of(sweep.summary_number(model, column.name)));
    }
    table.rows.push_back(std::move(row));
  }
  return table;
}

std::vector<std::string> warnings_of(const RunContent& run, const std::string& label) {
  std::vector<std::string> warnings;
  if (!run.finished) {
    warnings.push_back(label + ": not finished; its contents so far are shown");
  }
  for (const std::string& problem : run.problems) {
    warnings.push_back(label + ": " + problem);
  }
  for (const SiteProbes& site : run.sites) {
    int64_t open = 0;
    for (std::size_t probe = 0; probe < site.steps.size(); ++probe) {
      open += site.unconverged(probe);
    }
    const auto unknown = std::count_if(site.spectral_norm.begin(), site.spectral_norm.end(),
                                       [](double norm) { return !std::isfinite(norm); });
    if (run.finished && unknown > 0) {  // of an unfinished run, numbers may not have been written yet
      warnings.push_back(
          fmt::format("{}: {} of {} norms at {} are not finite: the model or its products overflow there", label,
                      unknown, site.spectral_norm.size(), site.site));
    }
    if (open > 0) {
      warnings.push_back(label + ": " + std::to_string(open) + " of " + std::to_string(site.converged.size()) +
                         " estimates at " + site.site +
                         " did not reach their tolerance; their residual norms bound the error");
    }
  }
  for (std::string& warning : spectrum_warnings(run, label)) {
    warnings.push_back(std::move(warning));
  }
  return warnings;
}

/// Collects the tables of all runs.
Section numbers_section(const std::vector<RunContent>& runs, const std::vector<std::string>& labels) {
  Section numbers{"Numbers", {}, {}, {}, {}, {}};
  if (Table training = training_table(runs, labels); !training.rows.empty()) {
    numbers.tables.push_back(std::move(training));
  }
  if (Table sharpness = sharpness_table(runs, labels); !sharpness.rows.empty()) {
    numbers.tables.push_back(std::move(sharpness));
  }
  for (std::size_t i = 0; i < runs.size(); ++i) {
    if (runs[i].sweep) {
      numbers.tables.push_back(sweep_table(*runs[i].sweep, runs[i], labels[i]));
    }
    for (const SiteProbes& site : runs[i].sites) {
      if (!site.steps.empty()) {
        numbers.tables.push_back(probe_table(site, labels[i]));
      }
    }
    for (Table& table : spectrum_tables(runs[i], labels[i])) {
      numbers.tables.push_back(std::move(table));
    }
  }
  return numbers;
}

/// Lists the runs with their command lines and warnings.
Section runs_section(const std::vector<RunContent>& runs, const std::vector<std::string>& labels) {
  Section section{"What was run", {}, {}, {}, {facts_of(runs, labels)}, {}};
  for (std::size_t i = 0; i < runs.size(); ++i) {
    section.commands.push_back(runs[i].info.command_line);
    for (std::string& warning : warnings_of(runs[i], labels[i])) {
      section.warnings.push_back(std::move(warning));
    }
  }
  return section;
}

}  // namespace

std::string model_text(const RunContent& run) {
  try {
    const auto model = nlohmann::json::parse(run.info.model);
    if (model.is_array()) {
      return fmt::format("{} models", model.size());
    }
    const std::string name = model.value("label", model.value("family", "") + " " + model.value("norm", ""));
    return fmt::format("{}, dim {}, {} layers, vocabulary {}", name, model.value("dim", 0), model.value("n_layers", 0),
                       model.value("vocab_size", 0));
  } catch (const nlohmann::json::exception&) {
    return "";
  }
}

Report report_on(const std::vector<RunContent>& runs, const std::vector<Figure>& figures,
                 const std::string& command_line) {
  const std::vector<std::string> labels = run_labels(runs);
  Report report;
  report.title =
      runs.size() == 1 ? "Curvature of " + labels.front() : "Curvature of " + std::to_string(runs.size()) + " runs";
  report.summary = "Made from HDF5 run files by: " + command_line;
  if (std::vector<std::string> findings = findings_of(runs, labels); !findings.empty()) {
    report.sections.push_back({"Findings", std::move(findings), {}, {}, {}, {}});
  }
  report.sections.push_back({"Figures", {}, {}, {}, {}, figures});
  report.sections.push_back(numbers_section(runs, labels));
  report.sections.push_back(runs_section(runs, labels));
  return report;
}

}  // namespace hessian::analysis
