#pragma once

#include <cmath>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "content/run_content.h"
#include "content/summary.h"
#include "figures/figure.h"
#include "reproduction/reproduction.h"

namespace hessian::analysis {

/// Loss above a placement's own best at which a rate still counts as useful, in nats.
constexpr double useful_margin = 0.1;

/// A sweep over learning rates with its contents.
struct ReadSweep {
  ReproducedSweep planned;
  RunContent content;

  [[nodiscard]] const SweepRuns& runs() const { return *content.sweep; }
  [[nodiscard]] std::string name() const { return planned.family + "-" + planned.size; }
};

/// The results that sections (d), (e) and (g) show, read once.
struct StabilityResults {
  std::vector<ReadSweep> sweeps;
  std::vector<std::string> warnings;  ///< files that are missing, unreadable or not finished, a line each
};

/// Reads the sweeps that exist.
StabilityResults read_stability(const std::vector<ReproducedSweep>& sweeps);

/// Returns a number of the sweep's summary for the model of a placement, NaN if there is none.
double summary_number(const SweepRuns& runs, const std::string& placement, const std::string& name);

/// The largest stable rate, the largest one whose loss is within the margin of the best, and the best loss, the smallest
/// median over seeds. A rate is stable if every seed of the sweep has finished there and none diverged.
struct Rates {
  double stable = std::nan("");
  double useful = std::nan("");
  double best_loss = std::nan("");
};

/// Computes the rates of a placement from the runs of one seed, or of all seeds.
Rates rates_of(const SweepRuns& runs, const std::string& placement, std::optional<int64_t> seed);

/// Returns the quotient of two placements' rates over all seeds, and its range over single seeds. NaN in place of a quotient
/// of placements of which a run failed or is not finished.
Summary ratio_of(const SweepRuns& runs, double Rates::*rate, const std::string& placement, const std::string& baseline);

/// Returns the difference of best losses, baseline - placement, over seeds: positive if the placement is better.
Summary gain_of(const SweepRuns& runs, const std::string& placement, const std::string& baseline);

/// Draws a number of each sweep against the model's size, one curve per family.
Figure against_size(const std::vector<ReadSweep>& sweeps, const std::string& id, const std::string& title,
                    const std::string& label, const std::function<Summary(const SweepRuns&)>& number);

/// Returns whether the values of every family with at least two known ones ascend.
Verdict ascends_with_size(const Figure& figure);

/// Formats the values of each curve: `llama2: 3, 5; llama3: 2, 4`.
std::string rows_text(const Figure& figure);

}  // namespace hessian::analysis
