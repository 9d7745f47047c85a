#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "reproduction/placed_runs.h"

// Figure c: what the same runs say of activation scales.

namespace hessian::analysis {
namespace {

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
  figure.y.label = "factor from the RMS at the start";
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

/// The largest relative deviation of the residual stream's RMS at the start from sqrt(1 + 2 l) for SimpleNorm, 1 for
/// the others, times the embedding's own.
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
    const std::vector<PlacedRun> runs = placed_runs(sweep, part.section);
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

}  // namespace hessian::analysis
