#include "sweep/table.h"

#include <fmt/format.h>

#include <algorithm>

#include "program/number_text.h"
#include "program/statistics.h"

namespace hessian::experiments {
namespace {

const std::string baseline_suffix = "-prenorm";

/// Returns the median of a quantity over those runs at a learning rate that measured it.
std::optional<double> median_at(const std::string& model, double rate, const std::vector<CellResult>& results,
                                std::optional<double> RunSummary::*member) {
  std::vector<double> values;
  for (const CellResult& result : results) {
    if (result.cell.model == model && same_rate(result.cell.lr, rate) && result.summary.*member) {
      values.push_back(*(result.summary.*member));
    }
  }
  return values.empty() ? std::nullopt : std::optional(median(values));
}

ModelSummary summarise_model(const SweepConfig& config, const std::string& model,
                             const std::vector<CellResult>& results) {
  ModelSummary summary;
  summary.label = model_label(config, model);
  summary.lr = summarise(outcomes_of(model, results), grid_rates(config.lr), config.seeds);
  if (const auto rate = summary.lr.bracket.largest_stable) {
    summary.activation_rate = median_at(model, *rate, results, &RunSummary::activation_rate);
    summary.sharpness_rate = median_at(model, *rate, results, &RunSummary::sharpness_rate);
    summary.preconditioned_rate = median_at(model, *rate, results, &RunSummary::preconditioned_rate);
  }
  const auto count = [&](CellStatus status) {
    return std::count_if(results.begin(), results.end(), [&](const CellResult& result) {
      return result.cell.model == model && result.status == status;
    });
  };
  summary.pending = count(CellStatus::pending);
  summary.failed = count(CellStatus::failed);
  return summary;
}

std::optional<double> quotient(const std::optional<double>& a, const std::optional<double>& b) {
  return a && b ? std::optional(*a / *b) : std::nullopt;
}

/// Returns whether every run of a model has an outcome.
bool is_complete(const ModelSummary& model) {
  return model.pending + model.failed == 0;
}

/// Returns a label without the placement: "llama2-0.9M" for "llama2-0.9M-simplegpt".
std::string stem_of(const std::string& label) {
  return label.substr(0, label.rfind('-'));
}

std::vector<StabilityRatio> ratios_of(const std::vector<ModelSummary>& models) {
  std::vector<StabilityRatio> ratios;
  for (const ModelSummary& model : models) {
    const auto baseline = std::find_if(models.begin(), models.end(), [&](const ModelSummary& other) {
      return other.label == stem_of(model.label) + baseline_suffix && other.label != model.label;
    });
    if (baseline == models.end() || !is_complete(model) || !is_complete(*baseline)) {
      continue;  // the missing runs may change the largest stable rate
    }
    const StabilityBracket& own = model.lr.bracket;
    const StabilityBracket& theirs = baseline->lr.bracket;
    if (const auto ratio = quotient(own.largest_stable, theirs.largest_stable)) {
      ratios.push_back({model.label, baseline->label, *ratio,
                        quotient(own.largest_stable, theirs.smallest_unstable_above),
                        quotient(own.smallest_unstable_above, theirs.largest_stable)});
    }
  }
  return ratios;
}

std::string rate_text(const std::optional<double>& rate) {
  return rate ? number_text(*rate, "{:.3e}", "-") : "-";
}

std::string loss_text(const std::optional<double>& loss) {
  return loss ? number_text(*loss, "{:.4f}", "-") : "-";
}

std::string runs_text(int64_t runs, const char* one, const char* many) {
  return runs == 1 ? fmt::format("1 run {}", one) : fmt::format("{} runs {}", runs, many);
}

/// Formats one line per rate of a model: the number of stable and of diverged seeds, and the losses.
std::string format_rates(const std::string& label, const std::vector<CellResult>& results) {
  std::string text = fmt::format("\n{}\n  {:>10} {:>8} {:>9}   {}\n", label, "lr", "stable", "diverged",
                                 "final loss, mean and range (nats)");
  for (auto first = results.begin(); first != results.end();) {
    const auto last = std::find_if(first, results.end(), [&](const CellResult& other) {
      return other.cell.model != first->cell.model || !same_rate(other.cell.lr, first->cell.lr);
    });
    if (first->cell.label == label) {
      std::vector<double> losses;
      int64_t diverged = 0;
      for (auto result = first; result != last; ++result) {
        diverged += result->status == CellStatus::diverged ? 1 : 0;
        if (result->status == CellStatus::stable) {
          losses.push_back(result->summary.final_loss);
        }
      }
      text += fmt::format("  {:>10} {:>8} {:>9}", format_rate(first->cell.lr), losses.size(), diverged);
      if (!losses.empty()) {
        const auto [low, high] = std::minmax_element(losses.begin(), losses.end());
        text += fmt::format("   {:.4f}  {:.4f} .. {:.4f}", mean(losses), *low, *high);
      }
      text += '\n';
    }
    first = last;
  }
  return text;
}

}  // namespace

SweepTable make_table(const SweepConfig& config, std::vector<CellResult> results) {
  const auto place = [&config](const std::string& model) {
    return std::find(config.models.begin(), config.models.end(), model);
  };
  std::sort(results.begin(), results.end(), [&place](const CellResult& a, const CellResult& b) {
    return std::tuple(place(a.cell.model), a.cell.lr, a.cell.seed) <
           std::tuple(place(b.cell.model), b.cell.lr, b.cell.seed);
  });
  SweepTable table;
  table.results = std::move(results);
  for (const std::string& model : config.models) {
    table.models.push_back(summarise_model(config, model, table.results));
  }
  table.ratios = ratios_of(table.models);
  if (config.train.probe.every > 0 && config.train.probe.sharpness) {
    table.sharpness_sequences = sharpness_sequences(config.train);
    table.warnings = sharpness_warnings(config.train);
  }
  return table;
}

std::string format_text(const SweepTable& table, bool rates) {
  std::size_t width = 5;
  for (const ModelSummary& model : table.models) {
    width = std::max(width, model.label.size());
  }
  std::string text =
      fmt::format("{:<{}}  {:>10} {:>10} {:>10} {:>10} {:>11} {:>14} {:>12} {:>13}\n", "model", width, "stable lr",
                  "unstable", "best loss", "at lr", "sensitivity", "2/lambda(H_xx)", "2/sharpness", "Adam's limit");
  for (const ModelSummary& model : table.models) {
    text += fmt::format("{:<{}}  {:>10} {:>10} {:>10} {:>10} {:>11} {:>14} {:>12} {:>13}\n", model.label, width,
                        rate_text(model.lr.bracket.largest_stable), rate_text(model.lr.bracket.smallest_unstable_above),
                        loss_text(model.lr.best_loss), rate_text(model.lr.best_lr), loss_text(model.lr.lr_sensitivity),
                        rate_text(model.activation_rate), rate_text(model.sharpness_rate),
                        rate_text(model.preconditioned_rate));
  }
  if (table.sharpness_sequences > 0) {
    text += fmt::format("2/sharpness and Adam's limit: from the mean loss of {} held-out sequences\n",
                        table.sharpness_sequences);
  }
  for (const StabilityRatio& ratio : table.ratios) {
    text += fmt::format("largest stable lr of {} / {}: {:.2f}", ratio.label, ratio.baseline, ratio.ratio);
    if (ratio.low && ratio.high) {
      text += fmt::format(" (the brackets allow {:.2f} to {:.2f})", *ratio.low, *ratio.high);
    }
    text += '\n';
  }
  if (rates) {
    for (const ModelSummary& model : table.models) {
      text += format_rates(model.label, table.results);
    }
  }
  return text;
}

bool is_finished(const SweepTable& table) {
  return std::all_of(table.models.begin(), table.models.end(), is_complete);
}

std::vector<std::string> warnings_of(const SweepTable& table) {
  std::vector<std::string> warnings = table.warnings;
  for (const ModelSummary& model : table.models) {
    if (model.failed > 0) {
      warnings.push_back(fmt::format("{}: {}; log.txt next to the run file says why, and --resume tries again",
                                     model.label, runs_text(model.failed, "failed", "failed")));
    }
    if (model.pending > 0) {
      warnings.push_back(fmt::format("{}: {}; --resume continues", model.label,
                                     runs_text(model.pending, "is not finished", "are not finished")));
    }
    if (!is_complete(model)) {
      continue;  // their results may change the bracket
    }
    if (!model.lr.bracket.largest_stable) {
      warnings.push_back(model.label + ": no rate of the grid is stable; give a smaller sweep.lr.from");
    } else if (!model.lr.bracket.smallest_unstable_above) {
      warnings.push_back(model.label + ": the largest rate of the grid is stable; give a larger sweep.lr.to");
    }
  }
  return warnings;
}

std::filesystem::path sweep_file(const SweepConfig& config) {
  return std::filesystem::path(config.train.out) / "sweep.h5";
}

}  // namespace hessian::experiments
