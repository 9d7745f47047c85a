#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <map>

#include "reproduction_parts.h"

// Figures b and c: what the runs with every site probed say of ||H_xx|| and of activation scales.

namespace analysis {
namespace {

/// A run, with its placement and seed.
struct PlacedRun {
  std::string placement;
  int64_t seed = 0;
  RunContent content;
};

std::vector<PlacedRun> runs_of(const ReproducedSweep& planned, Section& section) {
  std::vector<PlacedRun> runs;
  const auto sweep = read_part(planned.file, section);
  if (!sweep || !sweep->sweep) {
    return runs;
  }
  for (std::size_t i = 0; i < sweep->sweep->model.size(); ++i) {
    if (sweep->sweep->status[i] == "pending") {
      continue;
    }
    if (auto run = read_part(planned.file.parent_path() / sweep->sweep->run_file[i], section)) {
      runs.push_back({placement_of(sweep->sweep->model[i]), sweep->sweep->seed[i], std::move(*run)});
    }
  }
  return runs;
}

const SiteProbes* site_named(const RunContent& run, const std::string& name) {
  const auto found = std::find_if(run.sites.begin(), run.sites.end(),
                                  [&name](const SiteProbes& site) { return site.site == name && !site.steps.empty(); });
  return found == run.sites.end() ? nullptr : &*found;
}

/// ||H_xx|| of a block, the median over sequences; times the square of the activation's RMS if it is to be relative to
/// that scale.
double norm_at(const SiteProbes& site, std::size_t probe, std::size_t row, bool relative) {
  const double norm = summarise(site.over_sequences(site.spectral_norm, probe, row)).median;
  const double rms = site.rms[probe * site.layers.size() + row];
  return relative ? norm * rms * rms : norm;
}

/// A curve for each placement, of what `fill` takes from its runs.
void add_placements(const std::vector<PlacedRun>& runs,
                    const std::function<void(const RunContent&, SpreadCurve&)>& fill, Figure& figure) {
  for (const std::string& placement : compared_placements) {
    SpreadCurve spread;
    for (const PlacedRun& run : runs) {
      if (run.placement == placement) {
        fill(run.content, spread);
      }
    }
    if (!spread.empty()) {
      figure.curves.push_back(spread.curve(placement_name(placement), placement_color(placement)));
    }
  }
}

/// By block, at the first or the last probe.
Figure norms_by_block(const std::vector<PlacedRun>& runs, const std::string& family, bool at_end, bool relative) {
  Figure figure;
  figure.id = "b-" + family + (at_end ? "-end" : "-start") + (relative ? "-relative" : "");
  figure.title = family + (at_end ? ", after training" : ", before training");
  figure.caption = "Median over seeds of the medians over sequences; the band is the range over seeds.";
  figure.x.label = "block (the last is the final norm's input)";
  figure.x.whole = true;
  figure.y.label = relative ? "‖Hₓₓ‖₂ RMS(x)² (nats)" : "‖Hₓₓ‖₂ (nats)";
  const auto fill = [&](const RunContent& run, SpreadCurve& spread) {
    const SiteProbes* site = site_named(run, "residual");
    for (std::size_t row = 0; site != nullptr && row < site->layers.size(); ++row) {
      const std::size_t probe = at_end ? site->steps.size() - 1 : 0;
      spread.add(static_cast<double>(site->layers[row]), norm_at(*site, probe, row, relative));
    }
  };
  add_placements(runs, fill, figure);
  choose_y_scale(figure);
  return figure;
}

/// Along training, at the input of the first block.
Figure norms_along(const std::vector<PlacedRun>& runs, const std::string& family) {
  Figure figure;
  figure.id = "b-" + family + "-input";
  figure.title = family + ", input of the first block";
  figure.caption = "Median over seeds of the medians over sequences; the band is the range over seeds.";
  figure.x.label = "training step";
  figure.y.label = "‖Hₓₓ‖₂ (nats)";
  const auto fill = [&](const RunContent& run, SpreadCurve& spread) {
    const SiteProbes* site = site_named(run, "residual");
    for (std::size_t probe = 0; site != nullptr && probe < site->steps.size(); ++probe) {
      spread.add(static_cast<double>(site->steps[probe]), norm_at(*site, probe, 0, false));
    }
  };
  add_placements(runs, fill, figure);
  choose_y_scale(figure);
  return figure;
}

/// In how many cases SimpleNorm < PreNorm + QKNorm < PreNorm: seeds, probes after the first, and blocks.
struct OrderCount {
  int64_t holds = 0;
  int64_t cases = 0;
  void operator+=(const OrderCount& other) {
    holds += other.holds;
    cases += other.cases;
  }
  [[nodiscard]] std::string text() const {
    return cases == 0 ? "–"
                      : fmt::format("{} of {} cases ({:.0f} %)", holds, cases,
                                    100.0 * static_cast<double>(holds) / static_cast<double>(cases));
  }
  /// In nine cases of ten.
  [[nodiscard]] Verdict verdict() const {
    return cases == 0 ? Verdict::undecided : 10 * holds >= 9 * cases ? Verdict::holds : Verdict::does_not_hold;
  }
};

OrderCount count_order(const std::vector<PlacedRun>& runs, bool input_alone, bool relative) {
  OrderCount count;
  for (const PlacedRun& simple : runs) {
    if (simple.placement != "simplegpt") {
      continue;
    }
    const auto twin = [&](const char* placement) -> const SiteProbes* {
      const auto found = std::find_if(runs.begin(), runs.end(), [&](const PlacedRun& run) {
        return run.placement == placement && run.seed == simple.seed;
      });
      return found == runs.end() ? nullptr : site_named(found->content, "residual");
    };
    const SiteProbes* own = site_named(simple.content, "residual");
    const SiteProbes* qk = twin("preqknorm");
    const SiteProbes* pre = twin("prenorm");
    if (own == nullptr || qk == nullptr || pre == nullptr) {
      continue;
    }
    const std::size_t probes = std::min({own->steps.size(), qk->steps.size(), pre->steps.size()});
    for (std::size_t probe = 1; probe < probes; ++probe) {
      for (std::size_t row = 0; row < (input_alone ? 1 : own->layers.size()); ++row) {
        const double middle = norm_at(*qk, probe, row, relative);
        ++count.cases;
        count.holds +=
            norm_at(*own, probe, row, relative) < middle && middle < norm_at(*pre, probe, row, relative) ? 1 : 0;
      }
    }
  }
  return count;
}

/// RMS of the residual stream by block, before (dashed) and after training.
Figure scales_by_block(const std::vector<PlacedRun>& runs, const std::string& family) {
  Figure figure;
  figure.id = "c-" + family + "-residual";
  figure.title = family + ", scale of the residual stream";
  figure.caption = "Dashed: before training. Median over seeds; the band is their range.";
  figure.x.label = "block (the last is the final norm's input)";
  figure.x.whole = true;
  figure.y.label = "RMS";
  for (const bool at_end : {true, false}) {
    const auto fill = [at_end](const RunContent& run, SpreadCurve& spread) {
      const SiteProbes* site = site_named(run, "residual");
      for (std::size_t row = 0; site != nullptr && row < site->layers.size(); ++row) {
        const std::size_t probe = at_end ? site->steps.size() - 1 : 0;
        spread.add(static_cast<double>(site->layers[row]), site->rms[probe * site->layers.size() + row]);
      }
    };
    const std::size_t before = figure.curves.size();
    add_placements(runs, fill, figure);
    for (std::size_t i = before; i < figure.curves.size() && !at_end; ++i) {
      figure.curves[i].label += ", before training";
      figure.curves[i].dashed = true;
      figure.curves[i].in_legend = false;
    }
  }
  choose_y_scale(figure);
  return figure;
}

/// How far the RMS of any block at a site has moved from where it began, as a factor of at least 1.
double drift_of(const SiteProbes& site, std::size_t probe) {
  double farthest = 1;
  for (std::size_t row = 0; row < site.layers.size(); ++row) {
    const double ratio = site.rms[probe * site.layers.size() + row] / site.rms[row];
    farthest = std::max({farthest, ratio, 1 / ratio});
  }
  return farthest;
}

/// Along training: the farthest that any block of any site has moved.
Figure drift_along(const std::vector<PlacedRun>& runs, const std::string& family) {
  Figure figure;
  figure.id = "c-" + family + "-drift";
  figure.title = family + ", drift of activation scales";
  figure.caption =
      "The site and block whose RMS has moved farthest from where it began. Median over seeds; the band is their "
      "range.";
  figure.x.label = "training step";
  figure.y.label = "RMS / RMS at the start, or its inverse";
  const auto fill = [](const RunContent& run, SpreadCurve& spread) {
    std::map<int64_t, double> farthest;  // by step
    for (const SiteProbes& site : run.sites) {
      for (std::size_t probe = 0; probe < site.steps.size(); ++probe) {
        double& of_step = farthest[site.steps[probe]];
        of_step = std::max(of_step, drift_of(site, probe));
      }
    }
    for (const auto& [step, drift] : farthest) {
      spread.add(static_cast<double>(step), drift);
    }
  };
  add_placements(runs, fill, figure);
  choose_y_scale(figure);
  return figure;
}

/// The farthest drift at any site, block and probe: one number for each seed.
Summary farthest_drift(const std::vector<PlacedRun>& runs, const std::string& placement) {
  std::vector<double> farthest;
  for (const PlacedRun& run : runs) {
    if (run.placement == placement) {
      double of_run = 1;
      for (const SiteProbes& site : run.content.sites) {
        for (std::size_t probe = 0; probe < site.steps.size(); ++probe) {
          of_run = std::max(of_run, drift_of(site, probe));
        }
      }
      farthest.push_back(of_run);
    }
  }
  return summarise(farthest);
}

/// The largest relative deviation of the residual stream's RMS at the start from sqrt(1 + 2 l) for SimpleNorm, 1 for the
/// others, times the embedding's own.
double start_deviation(const std::vector<PlacedRun>& runs) {
  double largest = std::nan("");
  for (const PlacedRun& run : runs) {
    const SiteProbes* site = site_named(run.content, "residual");
    for (std::size_t row = 0; site != nullptr && row < site->layers.size(); ++row) {
      const auto layer = static_cast<double>(site->layers[row]);
      // Branches of RMS 1 add to an embedding of RMS r as orthogonal vectors do.
      const double embedding = site->rms[0];
      const double expected = run.placement == "simplegpt" ? std::sqrt(embedding * embedding + 2 * layer) : embedding;
      largest = std::fmax(largest, std::abs(site->rms[row] / expected - 1));
    }
  }
  return largest;
}

}  // namespace

ReproductionPart norms_part(const ReproductionFiles& files) {
  ReproductionPart part;
  part.section.title = "(b) ‖H_xx‖ by layer, at the start and along training";
  const std::string rule = "in nine of ten cases: seeds, probes after the first, blocks, families";
  OrderCount input;
  OrderCount everywhere;
  OrderCount relative;
  for (const ReproducedSweep& sweep : files.curvature) {
    const std::vector<PlacedRun> runs = runs_of(sweep, part.section);
    input += count_order(runs, true, false);
    everywhere += count_order(runs, false, false);
    relative += count_order(runs, false, true);
    for (Figure& figure : std::vector<Figure>{
             norms_by_block(runs, sweep.family, false, false), norms_by_block(runs, sweep.family, true, false),
             norms_by_block(runs, sweep.family, true, true), norms_along(runs, sweep.family)}) {
      if (has_points(figure)) {
        part.section.figures.push_back(std::move(figure));
      }
    }
  }
  part.section.paragraphs = {
      "The Hessian of the loss with respect to the residual stream. A stream that is normalised before it is used "
      "hardly changes "
      "the loss when it is scaled, so that ‖H_xx‖ falls with the square of its scale: ‖H_xx‖ RMS(x)² is shown too."};
  const std::string order = "SimpleNorm < PreNorm + QKNorm < PreNorm along training";
  part.claims = {{"‖H_xx‖: " + order, "b", "ordering", everywhere.text(), everywhere.verdict(), rule},
                 {"the same at the input of the first block", "b", "ordering", input.text(), input.verdict(), rule},
                 {"the same of ‖H_xx‖ RMS(x)², relative to the activation's scale", "b", "ordering", relative.text(),
                  relative.verdict(), rule}};
  return part;
}

ReproductionPart scales_part(const ReproductionFiles& files) {
  ReproductionPart part;
  part.section.title = "(c) Activation scales through training";
  Table table{
      "Farthest that the RMS of any block at any site moved from where it began, as a factor: median and range over "
      "seeds",
      {"family"},
      {}};
  for (const std::string& placement : compared_placements) {
    table.header.push_back(placement_name(placement));
  }
  std::vector<bool> stable;
  double deviation = std::nan("");
  std::vector<double> simple_drifts;
  std::vector<double> prenorm_drifts;
  for (const ReproducedSweep& sweep : files.curvature) {
    const std::vector<PlacedRun> runs = runs_of(sweep, part.section);
    std::vector<std::string> row = {sweep.family};
    for (const std::string& placement : compared_placements) {
      row.push_back(spread_text(farthest_drift(runs, placement)));
    }
    table.rows.push_back(std::move(row));
    const double simple = farthest_drift(runs, "simplegpt").median;
    const double prenorm = farthest_drift(runs, "prenorm").median;
    if (std::isfinite(simple) && std::isfinite(prenorm)) {
      stable.push_back(simple < 2 && simple < prenorm);
      simple_drifts.push_back(simple);
      prenorm_drifts.push_back(prenorm);
    }
    // nanoGPT's embeddings are far smaller than its branches, and the statement is of the official Llama code.
    if (sweep.family != "gpt2") {
      deviation = std::fmax(deviation, start_deviation(runs));
    }
    for (Figure& figure : std::vector<Figure>{scales_by_block(runs, sweep.family), drift_along(runs, sweep.family)}) {
      if (has_points(figure)) {
        part.section.figures.push_back(std::move(figure));
      }
    }
  }
  part.section.tables = {std::move(table)};
  part.claims = {
      {"SimpleNorm keeps activation scales stable through training", "c", "no drift",
       "by a factor of " + spread_text(summarise(simple_drifts)) + "; PreNorm " +
           spread_text(summarise(prenorm_drifts)),
       verdict_of(stable), "in every family the largest drift of SimpleNorm is below 2 and below PreNorm's"},
      {"before training the residual RMS of SimpleNorm grows as √(1 + 2l), that of the others stays 1 (llama)", "c",
       "√(1 + 2l)", std::isfinite(deviation) ? fmt::format("within {:.1f} %", 100 * deviation) : "–",
       std::isfinite(deviation) ? verdict_of({deviation < 0.1}) : Verdict::undecided, "within 10 % at every block"}};
  return part;
}

}  // namespace analysis
