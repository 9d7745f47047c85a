#pragma once

#include <cmath>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "reproduction/parts.h"

namespace hessian::analysis {

/// Loss above a placement's own best at which a rate still counts as useful, in nats.
constexpr double useful_margin = 0.1;

/// A sweep that has been read.
struct ReadSweep {
  ReproducedSweep planned;
  RunContent content;

  [[nodiscard]] const SweepRuns& runs() const { return *content.sweep; }
  [[nodiscard]] std::string name() const { return planned.family + "-" + planned.size; }
};

/// What there is of the sweeps over learning rates; what is missing becomes a warning.
std::vector<ReadSweep> read_sweeps(const ReproductionFiles& files, Section& section);

/// The number of a placement in the summary of a sweep, NaN where there is none.
double summary_number(const SweepRuns& runs, const std::string& placement, const std::string& name);

/// The largest rate at which nothing diverged, and the largest whose loss is within the margin of the best.
struct Rates {
  double stable = std::nan("");
  double useful = std::nan("");
  double best_loss = std::nan("");
};

/// Of one seed, or of all together.
Rates rates_of(const SweepRuns& runs, const std::string& placement, std::optional<int64_t> seed);

/// A quotient of two placements' rates: that of all seeds together, and the range of the seeds each alone.
Summary ratio_of(const SweepRuns& runs, double Rates::*rate, const std::string& placement, const std::string& baseline);

/// The difference of best losses, baseline - placement: positive where the placement is better.
Summary gain_of(const SweepRuns& runs, const std::string& placement, const std::string& baseline);

/// A number of each sweep against the model's size, a curve for each family.
Figure against_size(const std::vector<ReadSweep>& sweeps, const std::string& id, const std::string& title,
                    const std::string& label, const std::function<Summary(const SweepRuns&)>& number);

/// Whether numbers of a family's sizes ascend, for every family with two sizes at least.
Verdict ascends_with_size(const Figure& figure);

/// The numbers of a curve in a row, family by family.
std::string rows_text(const Figure& figure);

}  // namespace hessian::analysis
