#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "reproduction/sections.h"

// Section (c): activation scales of the runs with every site probed.

namespace hessian::analysis {
namespace {

/// Draws the RMS of the residual stream by layer, before (dashed) and after training.
Figure scales_by_layer(const std::vector<PlacedRun>& runs, const std::string& family) {
  Figure figure;
  figure.id = "c-" + family + "-residual";
  figure.title = family + ", scale of the residual stream";
  figure.caption = "Dashed: before training. Median over seeds; the band is their range.";
  figure.x.label = "layer (the last is the final norm's input)";
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

/// Returns the largest factor, at least 1, by which the RMS of a layer at this site differs from its initial value.
double drift_of(const SiteProbes& site, std::size_t probe) {
  double largest = 1;
  for (std::size_t row = 0; row < site.layers.size(); ++row) {
    const double ratio = site.rms[probe * site.layers.size() + row] / site.rms[row];
    largest = std::max({largest, ratio, 1 / ratio});
  }
  return largest;
}

/// Draws the largest drift over sites and layers along training.
Figure drift_along(const std::vector<PlacedRun>& runs, const std::string& family) {
  Figure figure;
  figure.id = "c-" + family + "-drift";
  figure.title = family + ", drift of activation scales";
  figure.caption =
      "Largest factor by which the RMS of a layer at any site differs from its initial value. Median over seeds; the "
      "band is their range.";
  figure.x.label = "training step";
  figure.y.label = "RMS / initial RMS, or its inverse";
  const auto fill = [](const RunContent& run, SpreadCurve& spread) {
    std::map<int64_t, double> largest;  // by step
    for (const SiteProbes& site : run.sites) {
      for (std::size_t probe = 0; probe < site.steps.size(); ++probe) {
        double& of_step = largest[site.steps[probe]];
        of_step = std::max(of_step, drift_of(site, probe));
      }
    }
    for (const auto& [step, drift] : largest) {
      spread.add(static_cast<double>(step), drift);
    }
  };
  add_placements(runs, fill, figure);
  choose_y_scale(figure);
  return figure;
}

/// Returns the largest drift over sites, layers and probes: one number per seed. Runs without a probe after the first are
/// left out.
Summary largest_drift(const std::vector<PlacedRun>& runs, const std::string& placement) {
  std::vector<double> largest;
  for (const PlacedRun& run : runs) {
    if (run.placement == placement) {
      double of_run = std::nan("");
      for (const SiteProbes& site : run.content.sites) {
        for (std::size_t probe = 1; probe < site.steps.size(); ++probe) {
          of_run = std::fmax(of_run, drift_of(site, probe));
        }
      }
      largest.push_back(of_run);
    }
  }
  return summarise(largest);
}

/// Returns the largest relative deviation of the residual stream's initial RMS from theory: with an embedding of RMS r,
/// sqrt(r^2 + 2 l) for SimpleNorm and r for the others.
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

Table drift_table(const std::vector<FamilyRuns>& families) {
  Table table{
      "Largest factor by which the RMS of a layer at any site differs from its initial value: median and range "
      "over seeds",
      {"family"},
      {}};
  for (const std::string& placement : compared_placements) {
    table.header.push_back(placement_name(placement));
  }
  for (const auto& [family, runs] : families) {
    std::vector<std::string> row = {family};
    for (const std::string& placement : compared_placements) {
      row.push_back(spread_text(largest_drift(runs, placement)));
    }
    table.rows.push_back(std::move(row));
  }
  return table;
}

Claim drift_claim(const std::vector<FamilyRuns>& families) {
  constexpr double largest_stable_drift = 2;
  std::vector<bool> cases;
  std::vector<double> simple_drifts;
  std::vector<double> prenorm_drifts;
  for (const auto& [family, runs] : families) {
    const double simple = largest_drift(runs, "simplegpt").median;
    const double prenorm = largest_drift(runs, "prenorm").median;
    if (std::isfinite(simple) && std::isfinite(prenorm)) {
      cases.push_back(simple < largest_stable_drift && simple < prenorm);
      simple_drifts.push_back(simple);
      prenorm_drifts.push_back(prenorm);
    }
  }
  return {
      "SimpleNorm keeps activation scales stable through training",
      "c",
      "no drift",
      "by a factor of " + spread_text(summarise(simple_drifts)) + "; PreNorm " + spread_text(summarise(prenorm_drifts)),
      verdict_of(cases),
      "in every family the largest drift of SimpleNorm is below 2 and below PreNorm's"};
}

/// Compares initial scales with theory for the Llama families only: nanoGPT's embeddings are far smaller than the
/// branches that its layers add to them.
Claim start_claim(const std::vector<FamilyRuns>& families) {
  constexpr double largest_deviation = 0.1;
  double deviation = std::nan("");
  for (const auto& [family, runs] : families) {
    if (family != "gpt2") {
      deviation = std::fmax(deviation, start_deviation(runs));
    }
  }
  const bool known = std::isfinite(deviation);
  return {"before training the residual RMS of SimpleNorm grows as √(1 + 2l), that of the others stays 1 (llama)",
          "c",
          "√(1 + 2l)",
          known ? fmt::format("within {:.1f} %", 100 * deviation) : "–",
          known ? verdict_of({deviation < largest_deviation}) : Verdict::undecided,
          "within 10 % at every layer"};
}

}  // namespace

ClaimSection scales_section(const CurvatureResults& results) {
  ClaimSection scales;
  scales.section.title = "(c) Activation scales through training";
  scales.section.warnings = results.warnings;
  for (const auto& [family, runs] : results.families) {
    add_figures({scales_by_layer(runs, family), drift_along(runs, family)}, scales.section);
  }
  scales.section.tables = {drift_table(results.families)};
  scales.claims = {drift_claim(results.families), start_claim(results.families)};
  return scales;
}

}  // namespace hessian::analysis
