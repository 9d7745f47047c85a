#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <map>
#include <optional>
#include <set>

#include "figure_builders.h"
#include "reproduction_parts.h"

// Figures d, e and g: what the sweeps over learning rates say.

namespace analysis {
namespace {

/// Loss above a placement's own best at which a rate still counts as useful, in nats.
constexpr double useful_margin = 0.1;

/// A sweep that has been read.
struct ReadSweep {
  ReproducedSweep planned;
  RunContent content;

  [[nodiscard]] const SweepRuns& runs() const { return *content.sweep; }
  [[nodiscard]] std::string name() const { return planned.family + "-" + planned.size; }
};

std::vector<ReadSweep> read_sweeps(const ReproductionFiles& files, Section& section) {
  std::vector<ReadSweep> sweeps;
  for (const ReproducedSweep& planned : files.stability) {
    auto content = read_part(planned.file, section);
    if (content && content->sweep) {
      sweeps.push_back({planned, std::move(*content)});
    }
  }
  return sweeps;
}

/// The seeds of a sweep, ascending.
std::vector<int64_t> seeds_of(const SweepRuns& runs) {
  const std::set<int64_t> seeds(runs.seed.begin(), runs.seed.end());
  return {seeds.begin(), seeds.end()};
}

/// The number of a placement in the summary of a sweep, NaN where there is none.
double summary_number(const SweepRuns& runs, const std::string& placement, const std::string& name) {
  const auto numbers = runs.summary.find(name);
  for (std::size_t i = 0; i < runs.models.size() && numbers != runs.summary.end(); ++i) {
    if (placement_of(runs.models[i]) == placement) {
      return numbers->second[i];
    }
  }
  return std::nan("");
}

/// Final losses of the stable runs of a placement, by rate; of one seed, or of all.
std::map<double, std::vector<double>> stable_losses(const SweepRuns& runs, const std::string& placement,
                                                    std::optional<int64_t> seed) {
  std::map<double, std::vector<double>> losses;
  std::set<double> diverged;
  for (std::size_t i = 0; i < runs.model.size(); ++i) {
    if (placement_of(runs.model[i]) != placement || (seed && runs.seed[i] != *seed)) {
      continue;
    }
    if (runs.status[i] == "stable") {
      losses[runs.lr[i]].push_back(runs.final_loss[i]);
    } else if (runs.status[i] == "diverged") {
      diverged.insert(runs.lr[i]);
    }
  }
  for (const double rate : diverged) {
    losses.erase(rate);
  }
  return losses;
}

/// The largest rate at which nothing diverged, and the largest whose loss is within the margin of the best.
struct Rates {
  double stable = std::nan("");
  double useful = std::nan("");
  double best_loss = std::nan("");
};

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

/// A quotient of two placements' rates: that of all seeds together, and the range of the seeds each alone.
Summary ratio_of(const SweepRuns& runs, double Rates::*rate, const std::string& placement,
                 const std::string& baseline) {
  std::vector<double> of_seeds;
  for (const int64_t seed : seeds_of(runs)) {
    of_seeds.push_back(rates_of(runs, placement, seed).*rate / (rates_of(runs, baseline, seed).*rate));
  }
  Summary ratio = summarise(of_seeds);
  ratio.median = rates_of(runs, placement, {}).*rate / (rates_of(runs, baseline, {}).*rate);
  ratio.low = std::fmin(ratio.low, ratio.median);
  ratio.high = std::fmax(ratio.high, ratio.median);
  return ratio;
}

/// The difference of best losses, baseline - placement: positive where the placement is better.
Summary gain_of(const SweepRuns& runs, const std::string& placement, const std::string& baseline) {
  std::vector<double> of_seeds;
  for (const int64_t seed : seeds_of(runs)) {
    of_seeds.push_back(rates_of(runs, baseline, seed).best_loss - rates_of(runs, placement, seed).best_loss);
  }
  return summarise(of_seeds);
}

std::string parameters_text(int64_t parameters) {
  const auto count = static_cast<double>(parameters);
  return count >= 1e9   ? fmt::format("{:.3g}B", count / 1e9)
         : count >= 1e6 ? fmt::format("{:.3g}M", count / 1e6)
                        : fmt::format("{:.3g}K", count / 1e3);
}

/// A number of each sweep against the model's size, a curve for each family.
Figure against_size(const std::vector<ReadSweep>& sweeps, const std::string& id, const std::string& title,
                    const std::string& label, const std::function<Summary(const SweepRuns&)>& number) {
  Figure figure;
  figure.id = id;
  figure.title = title;
  figure.caption = "Of all seeds together; the band is the range of the seeds each alone.";
  figure.x.label = "parameters of the PreNorm model";
  figure.x.logarithmic = true;
  figure.y.label = label;
  for (const ReadSweep& sweep : sweeps) {
    auto curve = std::find_if(figure.curves.begin(), figure.curves.end(),
                              [&](const Curve& known) { return known.label == sweep.planned.family; });
    if (curve == figure.curves.end()) {
      Curve fresh;
      fresh.label = sweep.planned.family;
      fresh.color = categorical_color(figure.curves.size() + compared_placements.size());
      fresh.mark = Mark::line_and_points;
      curve = figure.curves.insert(figure.curves.end(), std::move(fresh));
    }
    const Summary summary = number(sweep.runs());
    curve->x.push_back(static_cast<double>(sweep.planned.parameters));
    curve->y.push_back(summary.median);
    curve->low.push_back(summary.low);
    curve->high.push_back(summary.high);
  }
  return figure;
}

/// Whether numbers of a family's sizes ascend, for every family with two sizes at least.
Verdict ascends_with_size(const Figure& figure) {
  std::vector<bool> cases;
  for (const Curve& curve : figure.curves) {
    if (curve.y.size() > 1) {
      cases.push_back(std::is_sorted(curve.y.begin(), curve.y.end()) && curve.y.front() < curve.y.back());
    }
  }
  return verdict_of(cases);
}

/// The numbers of a curve in a row, family by family.
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

Table rates_table(const std::vector<ReadSweep>& sweeps) {
  Table table{fmt::format("Largest stable rates, largest useful rates (loss within {} nats of the placement's best), "
                          "and best losses: all "
                          "seeds together, and the range of the seeds each alone",
                          useful_margin),
              {"model", "parameters", "placement", "largest stable", "smallest unstable", "largest useful",
               "best loss (nats)", "stable / PreNorm's", "useful / PreNorm's"},
              {}};
  for (const ReadSweep& sweep : sweeps) {
    for (const std::string& placement : compared_placements) {
      const Rates rates = rates_of(sweep.runs(), placement, {});
      table.rows.push_back({sweep.name(), parameters_text(sweep.planned.parameters), placement_name(placement),
                            number_text(rates.stable),
                            number_text(summary_number(sweep.runs(), placement, "smallest_unstable_lr")),
                            number_text(rates.useful), fmt::format("{:.4f}", rates.best_loss),
                            spread_text(ratio_of(sweep.runs(), &Rates::stable, placement, "prenorm")),
                            spread_text(ratio_of(sweep.runs(), &Rates::useful, placement, "prenorm"))});
    }
  }
  return table;
}

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

/// The runs of a placement at a rate, as a curve of training losses: median over seeds, with their range.
std::optional<Curve> loss_curve(const ReadSweep& sweep, const std::string& placement, double rate, Section& section) {
  SpreadCurve spread;
  const SweepRuns& runs = sweep.runs();
  for (std::size_t i = 0; i < runs.model.size(); ++i) {
    if (placement_of(runs.model[i]) != placement || runs.lr[i] != rate || runs.status[i] == "pending") {
      continue;
    }
    const auto run = read_part(sweep.planned.file.parent_path() / runs.run_file[i], section);
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

/// Loss curves of all placements, each at the rate that `rate_of` names for it.
Figure losses_at(const ReadSweep& sweep, const std::string& id, const std::string& title,
                 const std::function<double(const std::string& placement)>& rate_of, Section& section) {
  Figure figure;
  figure.id = id;
  figure.title = title;
  figure.caption = "Training loss: median over seeds; the band is their range.";
  figure.x.label = "training step";
  figure.y.label = "cross-entropy (nats)";
  for (const std::string& placement : compared_placements) {
    if (auto curve = loss_curve(sweep, placement, rate_of(placement), section)) {
      figure.curves.push_back(std::move(*curve));
    }
  }
  choose_y_scale(figure);
  return figure;
}

/// Ranks from 1 on; equal values share the mean of theirs.
std::vector<double> ranks_of(const std::vector<double>& values) {
  std::vector<double> ranks;
  for (const double value : values) {
    const auto below = std::count_if(values.begin(), values.end(), [&](double other) { return other < value; });
    const auto equal = std::count(values.begin(), values.end(), value);
    ranks.push_back(static_cast<double>(below) + static_cast<double>(equal + 1) / 2);
  }
  return ranks;
}

/// Spearman's rank correlation: Pearson's of the ranks.
double rank_correlation(const std::vector<double>& x, const std::vector<double>& y) {
  const std::vector<double> u = ranks_of(x);
  const std::vector<double> v = ranks_of(y);
  const double mean = static_cast<double>(x.size() + 1) / 2;
  double uu = 0;
  double vv = 0;
  double uv = 0;
  for (std::size_t i = 0; i < u.size(); ++i) {
    uu += (u[i] - mean) * (u[i] - mean);
    vv += (v[i] - mean) * (v[i] - mean);
    uv += (u[i] - mean) * (v[i] - mean);
  }
  return uv / std::sqrt(uu * vv);
}

}  // namespace

ReproductionPart rates_part(const ReproductionFiles& files) {
  ReproductionPart part;
  part.section.title = "(d) The largest stable learning rate";
  const std::vector<ReadSweep> sweeps = read_sweeps(files, part.section);
  part.section.paragraphs = {
      fmt::format("A rate is stable where no seed diverged. Clipping and decay of the rate keep runs from diverging "
                  "long after they have ceased to "
                  "learn well, so a second measure stands beside it: the largest rate whose loss is within {} nats of "
                  "the placement's best.",
                  useful_margin)};
  for (const ReadSweep& sweep : sweeps) {
    Figure figure = sweep_figures({{sweep.content}, {sweep.name()}}).front();
    figure.id = "d-" + sweep.name();
    figure.title = sweep.name() + " (" + parameters_text(sweep.planned.parameters) + " parameters)";
    part.section.figures.push_back(std::move(figure));
  }
  const Figure stable =
      against_size(sweeps, "d-stable-ratio", "Largest stable rate of SimpleNorm over PreNorm's", "ratio",
                   [](const SweepRuns& runs) { return ratio_of(runs, &Rates::stable, "simplegpt", "prenorm"); });
  const Figure useful =
      against_size(sweeps, "d-useful-ratio", "Largest useful rate of SimpleNorm over PreNorm's", "ratio",
                   [](const SweepRuns& runs) { return ratio_of(runs, &Rates::useful, "simplegpt", "prenorm"); });
  for (const Figure& figure : {stable, useful}) {
    if (has_points(figure)) {
      part.section.figures.push_back(figure);
    }
  }
  part.section.tables = {rates_table(sweeps)};
  part.claims = {{"largest stable learning rate of SimpleNorm / PreNorm", "d", "3 to 10", rows_text(stable),
                  reaches(stable, 3), "at least 3 for every model"},
                 {"the same of the largest useful rate", "d", "–", rows_text(useful), reaches(useful, 3),
                  "at least 3 for every model"},
                 {"the ratio of stable rates grows with the model", "d", "ordering", rows_text(stable),
                  ascends_with_size(stable), "ascends with size in every family"}};
  return part;
}

ReproductionPart losses_part(const ReproductionFiles& files) {
  ReproductionPart part;
  part.section.title = "(e) Loss curves";
  const std::vector<ReadSweep> sweeps = read_sweeps(files, part.section);
  std::vector<bool> order;
  std::string losses;
  for (const ReadSweep& sweep : sweeps) {
    const auto best_rate = [&](const std::string& placement) {
      return summary_number(sweep.runs(), placement, "best_lr");
    };
    const double unstable = summary_number(sweep.runs(), "prenorm", "smallest_unstable_lr");
    for (Figure& figure :
         std::vector<Figure>{losses_at(sweep, "e-" + sweep.name() + "-best", sweep.name() + ", each at its best rate",
                                       best_rate, part.section),
                             losses_at(
                                 sweep, "e-" + sweep.name() + "-unstable",
                                 sweep.name() + ", at the smallest rate where PreNorm diverges",
                                 [&](const std::string&) { return unstable; }, part.section)}) {
      if (has_points(figure)) {
        part.section.figures.push_back(std::move(figure));
      }
    }
    const double simple = rates_of(sweep.runs(), "simplegpt", {}).best_loss;
    const double qk = rates_of(sweep.runs(), "preqknorm", {}).best_loss;
    if (std::isfinite(simple) && std::isfinite(qk)) {
      order.push_back(simple < qk);
      losses += fmt::format("{}{}: {:.3f} vs {:.3f}, gain {}", losses.empty() ? "" : "; ", sweep.name(), simple, qk,
                            spread_text(gain_of(sweep.runs(), "simplegpt", "preqknorm")));
    }
  }
  const Figure gain = against_size(sweeps, "e-gain", "Best loss of PreNorm minus SimpleNorm's", "gain (nats)",
                                   [](const SweepRuns& runs) { return gain_of(runs, "simplegpt", "prenorm"); });
  if (has_points(gain)) {
    part.section.figures.push_back(gain);
  }
  part.claims = {
      {"loss of SimpleNorm vs PreNorm + QKNorm", "e", "2.208 vs 2.290 (7B, 60K steps)", losses.empty() ? "–" : losses,
       verdict_of(order), "SimpleNorm's best loss is the smaller one for every model"},
      {"the gain in loss over PreNorm grows with the model", "e", "ordering", rows_text(gain), ascends_with_size(gain),
       "ascends with size in every family"}};
  return part;
}

ReproductionPart thresholds_part(const ReproductionFiles& files) {
  ReproductionPart part;
  part.section.title = "(g) Stable rates against curvature";
  const std::vector<ReadSweep> sweeps = read_sweeps(files, part.section);
  struct Kind {
    const char* id;
    const char* label;
    const char* name;
  };
  const std::vector<Kind> kinds = {{"g-activation", "2 / λmax(Hₓₓ), as a peak rate", "activation_rate"},
                                   {"g-sharpness", "2 / sharpness, as a peak rate", "sharpness_rate"},
                                   {"g-preconditioned", "Adam's limit, as a peak rate", "preconditioned_rate"}};
  for (const Kind& kind : kinds) {
    Figure figure;
    figure.id = kind.id;
    figure.title = std::string("Largest stable rate against ") + kind.label;
    figure.caption = "A point for each model; the curvature is the largest of the probes at its largest stable rate.";
    figure.x = {kind.label, true, false, {}, {}, {}};
    figure.y = {"largest stable rate", true, false, {}, {}, {}};
    std::vector<double> x;
    std::vector<double> y;
    for (const std::string& placement : compared_placements) {
      Curve curve;
      curve.label = placement_name(placement);
      curve.color = placement_color(placement);
      curve.mark = Mark::points;
      for (const ReadSweep& sweep : sweeps) {
        const double rate = summary_number(sweep.runs(), placement, kind.name);
        const double stable = summary_number(sweep.runs(), placement, "largest_stable_lr");
        if (std::isfinite(rate) && std::isfinite(stable)) {
          curve.x.push_back(rate);
          curve.y.push_back(stable);
        }
      }
      x.insert(x.end(), curve.x.begin(), curve.x.end());
      y.insert(y.end(), curve.y.begin(), curve.y.end());
      figure.curves.push_back(std::move(curve));
    }
    if (has_points(figure)) {
      part.section.figures.push_back(std::move(figure));
    }
    const double correlation = x.size() > 2 ? rank_correlation(x, y) : std::nan("");
    part.claims.push_back({std::string("the largest stable rate follows ") + kind.label, "g",
                           kind.name == kinds[0].name ? "follows" : "–",
                           std::isfinite(correlation)
                               ? fmt::format("rank correlation {:.2f} over {} models", correlation, x.size())
                               : "–",
                           std::isfinite(correlation) ? verdict_of({correlation > 0.5}) : Verdict::undecided,
                           "rank correlation above 0.5"});
  }
  return part;
}

}  // namespace analysis
