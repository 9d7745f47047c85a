#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "figures/figure_builders.h"
#include "reproduction/sections.h"

// Section (d): the largest stable learning rates.

namespace hessian::analysis {
namespace {

std::string parameters_text(int64_t parameters) {
  const auto count = static_cast<double>(parameters);
  return count >= 1e9   ? fmt::format("{:.3g}B", count / 1e9)
         : count >= 1e6 ? fmt::format("{:.3g}M", count / 1e6)
                        : fmt::format("{:.3g}K", count / 1e3);
}

Table rates_table(const std::vector<ReadSweep>& sweeps) {
  Table table{
      fmt::format("Largest stable rates, largest useful rates (loss within {} nats of the placement's best) and "
                  "best losses: over all seeds, and the range over single seeds",
                  useful_margin),
      {"model", "parameters", "placement", "largest stable", "smallest unstable", "largest useful", "best loss (nats)",
       "sensitivity (nats)", "stable / PreNorm's", "useful / PreNorm's"},
      {}};
  for (const ReadSweep& sweep : sweeps) {
    for (const std::string& placement : compared_placements) {
      const Rates rates = rates_of(sweep.runs(), placement, {});
      table.rows.push_back(
          {sweep.name(), parameters_text(sweep.planned.parameters), placement_name(placement),
           number_text(rates.stable), number_text(summary_number(sweep.runs(), placement, "smallest_unstable_lr")),
           number_text(rates.useful), std::isfinite(rates.best_loss) ? fmt::format("{:.4f}", rates.best_loss) : "–",
           number_text(summary_number(sweep.runs(), placement, "lr_sensitivity")),
           spread_text(ratio_of(sweep.runs(), &Rates::stable, placement, "prenorm")),
           spread_text(ratio_of(sweep.runs(), &Rates::useful, placement, "prenorm"))});
    }
  }
  return table;
}

/// Returns whether all ratios are at least `least`.
Verdict reaches(const Figure& ratios, double least) {
  std::vector<bool> cases;
  for (const Curve& curve : ratios.curves) {
    for (const double ratio : curve.y) {
      if (std::isfinite(ratio)) {
        cases.push_back(ratio >= least);
      }
    }
  }
  return verdict_of(cases);
}

/// Draws losses against rates for each sweep, as hessian-plot does.
std::vector<Figure> sweep_figures_of(const std::vector<ReadSweep>& sweeps) {
  std::vector<Figure> figures;
  for (const ReadSweep& sweep : sweeps) {
    Figure figure = sweep_figures({{sweep.content}, {sweep.name()}}).front();
    figure.id = "d-" + sweep.name();
    figure.title = sweep.name() + " (" + parameters_text(sweep.planned.parameters) + " parameters)";
    figures.push_back(std::move(figure));
  }
  return figures;
}

}  // namespace

ClaimSection rates_section(const StabilityResults& results) {
  ClaimSection rates;
  rates.section.title = "(d) The largest stable learning rate";
  rates.section.warnings = results.warnings;
  rates.section.paragraphs = {fmt::format(
      "A rate is stable if every seed finished and none diverged. Gradient clipping and the decay of the rate keep "
      "runs from "
      "diverging long after they have stopped learning well, so a second measure is given: the largest rate "
      "whose loss is within {} nats of the placement's best.",
      useful_margin)};
  const Figure stable =
      against_size(results.sweeps, "d-stable-ratio", "Largest stable rate of SimpleNorm over PreNorm's", "ratio",
                   [](const SweepRuns& runs) { return ratio_of(runs, &Rates::stable, "simplegpt", "prenorm"); });
  const Figure useful =
      against_size(results.sweeps, "d-useful-ratio", "Largest useful rate of SimpleNorm over PreNorm's", "ratio",
                   [](const SweepRuns& runs) { return ratio_of(runs, &Rates::useful, "simplegpt", "prenorm"); });
  rates.section.figures = sweep_figures_of(results.sweeps);
  add_figures({stable, useful}, rates.section);
  rates.section.tables = {rates_table(results.sweeps)};
  rates.claims = {{"largest stable learning rate of SimpleNorm / PreNorm", "d", "3 to 10", rows_text(stable),
                   reaches(stable, 3), "at least 3 for every model"},
                  {"the same for the largest useful rate", "d", "–", rows_text(useful), reaches(useful, 3),
                   "at least 3 for every model"},
                  {"the ratio of stable rates grows with the model", "d", "ordering", rows_text(stable),
                   ascends_with_size(stable), "ascends with size in every family"}};
  return rates;
}

}  // namespace hessian::analysis
