#include "reproduction/stability.h"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <map>
#include <set>
#include <utility>

#include "reproduction/sections.h"

namespace hessian::analysis {
namespace {

/// Returns the seeds of a sweep, ascending.
std::vector<int64_t> seeds_of(const SweepRuns& runs) {
  const std::set<int64_t> seeds(runs.seed.begin(), runs.seed.end());
  return {seeds.begin(), seeds.end()};
}

/// Returns the final losses of a placement by rate, of one seed or of all. Rates at which a run diverged, failed, is not
/// finished or does not exist are left out.
std::map<double, std::vector<double>> stable_losses(const SweepRuns& runs, const std::string& placement,
                                                    std::optional<int64_t> seed) {
  const std::size_t complete = seed ? 1 : seeds_of(runs).size();
  std::map<double, std::vector<double>> losses;
  for (std::size_t i = 0; i < runs.model.size(); ++i) {
    if (placement_of(runs.model[i]) == placement && (!seed || runs.seed[i] == *seed) && runs.status[i] == "stable") {
      losses[runs.lr[i]].push_back(runs.final_loss[i]);
    }
  }
  std::erase_if(losses, [complete](const auto& of_rate) { return of_rate.second.size() < complete; });
  return losses;
}

/// Returns whether a run of a placement, of one seed or of all, failed or is not finished.
bool lacks_runs(const SweepRuns& runs, const std::string& placement, std::optional<int64_t> seed) {
  for (std::size_t i = 0; i < runs.model.size(); ++i) {
    if (placement_of(runs.model[i]) == placement && (!seed || runs.seed[i] == *seed) &&
        (runs.status[i] == "failed" || runs.status[i] == "pending")) {
      return true;
    }
  }
  return false;
}

/// Returns the quotient of two placements' rates; NaN if either lacks runs, because these may change its rates.
double quotient(const SweepRuns& runs, double Rates::*rate, const std::string& placement, const std::string& baseline,
                std::optional<int64_t> seed) {
  const bool known = !lacks_runs(runs, placement, seed) && !lacks_runs(runs, baseline, seed);
  return known ? rates_of(runs, placement, seed).*rate / (rates_of(runs, baseline, seed).*rate) : std::nan("");
}

}  // namespace

StabilityResults read_stability(const std::vector<ReproducedSweep>& sweeps) {
  StabilityResults results;
  for (const ReproducedSweep& planned : sweeps) {
    auto content = read_or_warn(planned.file, results.warnings);
    if (content && content->sweep) {
      results.sweeps.push_back({planned, std::move(*content)});
    }
  }
  return results;
}

double summary_number(const SweepRuns& runs, const std::string& placement, const std::string& name) {
  const auto model = std::find_if(runs.models.begin(), runs.models.end(),
                                  [&](const std::string& name_of) { return placement_of(name_of) == placement; });
  return model == runs.models.end() ? std::nan("") : runs.summary_number(*model, name);
}

Rates rates_of(const SweepRuns& runs, const std::string& placement, std::optional<int64_t> seed) {
  Rates rates;
  const auto losses = stable_losses(runs, placement, seed);
  for (const auto& [rate, of_rate] : losses) {
    rates.stable = rate;
    rates.best_loss = std::fmin(rates.best_loss, summarise(of_rate).median);
  }
  for (const auto& [rate, of_rate] : losses) {
    if (summarise(of_rate).median <= rates.best_loss + useful_margin) {
      rates.useful = rate;
    }
  }
  return rates;
}

Summary ratio_of(const SweepRuns& runs, double Rates::*rate, const std::string& placement,
                 const std::string& baseline) {
  std::vector<double> of_seeds;
  for (const int64_t seed : seeds_of(runs)) {
    of_seeds.push_back(quotient(runs, rate, placement, baseline, seed));
  }
  Summary ratio = summarise(of_seeds);
  ratio.median = quotient(runs, rate, placement, baseline, {});
  ratio.low = std::fmin(ratio.low, ratio.median);
  ratio.high = std::fmax(ratio.high, ratio.median);
  return ratio;
}

Summary gain_of(const SweepRuns& runs, const std::string& placement, const std::string& baseline) {
  std::vector<double> of_seeds;
  for (const int64_t seed : seeds_of(runs)) {
    of_seeds.push_back(rates_of(runs, baseline, seed).best_loss - rates_of(runs, placement, seed).best_loss);
  }
  return summarise(of_seeds);
}

Figure against_size(const std::vector<ReadSweep>& sweeps, const std::string& id, const std::string& title,
                    const std::string& label, const std::function<Summary(const SweepRuns&)>& number) {
  Figure figure;
  figure.id = id;
  figure.title = title;
  figure.caption = "Over all seeds; the band is the range over single seeds.";
  figure.x.label = "parameters of the PreNorm model";
  figure.x.logarithmic = true;
  figure.y.label = label;
  for (const ReadSweep& sweep : sweeps) {
    auto curve = std::find_if(figure.curves.begin(), figure.curves.end(),
                              [&](const Curve& known) { return known.label == sweep.planned.family; });
    if (curve == figure.curves.end()) {
      Curve added;
      added.label = sweep.planned.family;
      added.color = categorical_color(figure.curves.size() + compared_placements.size());
      added.mark = Mark::line_and_points;
      curve = figure.curves.insert(figure.curves.end(), std::move(added));
    }
    add_point(*curve, static_cast<double>(sweep.planned.parameters), number(sweep.runs()));
  }
  choose_y_scale(figure);
  return figure;
}

Verdict ascends_with_size(const Figure& figure) {
  std::vector<bool> cases;
  for (const Curve& curve : figure.curves) {
    std::vector<double> known;
    std::copy_if(curve.y.begin(), curve.y.end(), std::back_inserter(known),
                 [](double value) { return std::isfinite(value); });
    if (known.size() > 1) {
      cases.push_back(std::is_sorted(known.begin(), known.end()) && known.front() < known.back());
    }
  }
  return verdict_of(cases);
}

std::string rows_text(const Figure& figure) {
  std::string text;
  for (const Curve& curve : figure.curves) {
    text += (text.empty() ? "" : "; ") + curve.label + ": ";
    for (std::size_t i = 0; i < curve.y.size(); ++i) {
      text += (i == 0 ? "" : ", ") + number_text(curve.y[i]);
    }
  }
  return text.empty() ? "–" : text;
}

}  // namespace hessian::analysis
