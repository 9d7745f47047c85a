#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <optional>
#include <set>

#include "reproduction/sections.h"

// Section (e): loss curves, and the best losses.

namespace hessian::analysis {
namespace {

/// Reads the runs of a placement at a rate and returns their training losses: median over seeds, with their range.
std::optional<Curve> loss_curve(const ReadSweep& sweep, const std::string& placement, double rate,
                                std::vector<std::string>& warnings) {
  SpreadCurve spread;
  const SweepRuns& runs = sweep.runs();
  for (std::size_t i = 0; i < runs.model.size(); ++i) {
    if (placement_of(runs.model[i]) != placement || runs.lr[i] != rate || runs.status[i] == "pending") {
      continue;
    }
    const auto run = read_or_warn(sweep.planned.file.parent_path() / runs.run_file[i], warnings);
    for (std::size_t k = 0; run && run->training && k < run->training->steps.size(); ++k) {
      spread.add(static_cast<double>(run->training->steps[k]), run->training->loss[k]);
    }
  }
  if (spread.empty()) {
    return std::nullopt;
  }
  Curve curve = spread.curve(fmt::format("{}, lr {:.3g}", placement_name(placement), rate), placement_color(placement));
  curve.mark = Mark::line;
  return curve;
}

/// Draws the loss curves of all placements, each at the rate that `rate_of` returns for it.
Figure losses_at(const ReadSweep& sweep, const std::string& id, const std::string& title,
                 const std::function<double(const std::string& placement)>& rate_of,
                 std::vector<std::string>& warnings) {
  Figure figure;
  figure.id = id;
  figure.title = title;
  figure.caption = "Training loss: median over seeds; the band is their range.";
  figure.x.label = "training step";
  figure.y.label = "cross-entropy (nats)";
  for (const std::string& placement : compared_placements) {
    if (auto curve = loss_curve(sweep, placement, rate_of(placement), warnings)) {
      figure.curves.push_back(std::move(*curve));
    }
  }
  choose_y_scale(figure);
  return figure;
}

/// Returns the statuses of a placement's runs at a rate that have started.
std::vector<std::string> statuses_at(const SweepRuns& runs, const std::string& placement, double rate) {
  std::vector<std::string> statuses;
  for (std::size_t i = 0; i < runs.model.size(); ++i) {
    if (placement_of(runs.model[i]) == placement && runs.lr[i] == rate && runs.status[i] != "pending") {
      statuses.push_back(runs.status[i]);
    }
  }
  return statuses;
}

/// Returns the smallest rate at which a PreNorm run diverged and every placement has runs; NaN if there is none. Rates
/// that bisection added may lack some placements.
double shared_unstable_rate(const SweepRuns& runs) {
  for (const double rate : std::set<double>(runs.lr.begin(), runs.lr.end())) {
    const auto prenorm = statuses_at(runs, "prenorm", rate);
    if (std::count(prenorm.begin(), prenorm.end(), "diverged") > 0 &&
        std::none_of(compared_placements.begin(), compared_placements.end(),
                     [&](const std::string& placement) { return statuses_at(runs, placement, rate).empty(); })) {
      return rate;
    }
  }
  return std::nan("");
}

std::vector<Figure> loss_figures(const ReadSweep& sweep, std::vector<std::string>& warnings) {
  const auto best_rate = [&](const std::string& placement) {
    return summary_number(sweep.runs(), placement, "best_lr");
  };
  const double unstable = shared_unstable_rate(sweep.runs());
  return {
      losses_at(sweep, "e-" + sweep.name() + "-best", sweep.name() + ", each at its best rate", best_rate, warnings),
      losses_at(
          sweep, "e-" + sweep.name() + "-unstable",
          sweep.name() + ", at the smallest rate of the grid where PreNorm diverges",
          [&](const std::string& /*placement*/) { return unstable; }, warnings)};
}

/// Compares SimpleNorm's best loss with that of PreNorm + QKNorm.
Claim best_loss_claim(const std::vector<ReadSweep>& sweeps) {
  std::vector<bool> cases;
  std::string ours;
  for (const ReadSweep& sweep : sweeps) {
    const double simple = rates_of(sweep.runs(), "simplegpt", {}).best_loss;
    const double qk = rates_of(sweep.runs(), "preqknorm", {}).best_loss;
    if (std::isfinite(simple) && std::isfinite(qk)) {
      cases.push_back(simple < qk);
      ours += fmt::format("{}{}: {:.3f} vs {:.3f}, gain {}", ours.empty() ? "" : "; ", sweep.name(), simple, qk,
                          spread_text(gain_of(sweep.runs(), "simplegpt", "preqknorm")));
    }
  }
  return {"loss of SimpleNorm vs PreNorm + QKNorm",
          "e",
          "2.208 vs 2.290 (7B, 60K steps)",
          or_dash(ours),
          verdict_of(cases),
          "SimpleNorm's best loss is the smaller one for every model"};
}

/// Checks whether SimpleNorm trains at a rate at which PreNorm diverges.
Claim survival_claim(const std::vector<ReadSweep>& sweeps) {
  std::vector<bool> cases;
  std::string survivors;
  for (const ReadSweep& sweep : sweeps) {
    const double unstable = shared_unstable_rate(sweep.runs());
    const std::vector<std::string> simple = statuses_at(sweep.runs(), "simplegpt", unstable);
    if (!simple.empty()) {
      const auto stable = std::count(simple.begin(), simple.end(), "stable");
      cases.push_back(stable == std::ssize(simple));
      survivors += fmt::format("{}{} at lr {:.3g}: {} of {} seeds", survivors.empty() ? "" : "; ", sweep.name(),
                               unstable, stable, simple.size());
    }
  }
  return {"at a rate where PreNorm diverges SimpleNorm trains",
          "e",
          "4.115 (diverged) vs 2.331 (7B, 20K steps, lr 1e-3)",
          survivors.empty() ? "–" : "stable: " + survivors,
          verdict_of(cases),
          "every seed of SimpleNorm, for every model"};
}

}  // namespace

ClaimSection losses_section(const StabilityResults& results) {
  ClaimSection losses;
  losses.section.title = "(e) Loss curves";
  losses.section.warnings = results.warnings;
  for (const ReadSweep& sweep : results.sweeps) {
    add_figures(loss_figures(sweep, losses.section.warnings), losses.section);
  }
  const Figure gain = against_size(results.sweeps, "e-gain", "Best loss of PreNorm minus SimpleNorm's", "gain (nats)",
                                   [](const SweepRuns& runs) { return gain_of(runs, "simplegpt", "prenorm"); });
  add_figures({gain}, losses.section);
  losses.claims = {best_loss_claim(results.sweeps),
                   survival_claim(results.sweeps),
                   {"the gain in loss over PreNorm grows with the model", "e", "ordering", rows_text(gain),
                    ascends_with_size(gain), "ascends with size in every family"}};
  return losses;
}

}  // namespace hessian::analysis
