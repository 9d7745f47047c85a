#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "reproduction/sections.h"

// Section (b): ||H_xx|| of the runs with every site probed.

namespace hessian::analysis {
namespace {

/// Returns ||H_xx|| of a row, the median over sequences; if `relative`, times the square of the activation's RMS.
double norm_of(const SiteProbes& site, std::size_t probe, std::size_t row, bool relative) {
  const double norm = summarise(site.over_sequences(site.spectral_norm, probe, row)).median;
  const double rms = site.rms[probe * site.layers.size() + row];
  return relative ? norm * rms * rms : norm;
}

/// Draws the norms by layer at the first or the last probe.
Figure norms_by_layer(const std::vector<PlacedRun>& runs, const std::string& family, bool at_end, bool relative) {
  Figure figure;
  figure.id = "b-" + family + (at_end ? "-end" : "-start") + (relative ? "-relative" : "");
  figure.title =
      family + (at_end ? ", after training" : ", before training") + (relative ? ", relative to its scale" : "");
  figure.caption = "Median over seeds of the medians over sequences; the band is the range over seeds.";
  figure.x.label = "layer (the last is the final norm's input)";
  figure.x.whole = true;
  figure.y.label = relative ? "‖Hₓₓ‖₂ RMS(x)² (nats)" : "‖Hₓₓ‖₂ (nats)";
  const auto fill = [&](const RunContent& run, SpreadCurve& spread) {
    const SiteProbes* site = site_named(run, "residual");
    for (std::size_t row = 0; site != nullptr && row < site->layers.size(); ++row) {
      const std::size_t probe = at_end ? site->steps.size() - 1 : 0;
      spread.add(static_cast<double>(site->layers[row]), norm_of(*site, probe, row, relative));
    }
  };
  add_placements(runs, fill, figure);
  choose_y_scale(figure);
  return figure;
}

/// Draws the norms along training at the input of the first layer.
Figure norms_along(const std::vector<PlacedRun>& runs, const std::string& family) {
  Figure figure;
  figure.id = "b-" + family + "-input";
  figure.title = family + ", input of the first layer";
  figure.caption = "Median over seeds of the medians over sequences; the band is the range over seeds.";
  figure.x.label = "training step";
  figure.y.label = "‖Hₓₓ‖₂ (nats)";
  const auto fill = [&](const RunContent& run, SpreadCurve& spread) {
    const SiteProbes* site = site_named(run, "residual");
    for (std::size_t probe = 0; site != nullptr && probe < site->steps.size(); ++probe) {
      spread.add(static_cast<double>(site->steps[probe]), norm_of(*site, probe, 0, false));
    }
  };
  add_placements(runs, fill, figure);
  choose_y_scale(figure);
  return figure;
}

/// Number of cases (seeds, probes after the first, layers) in which SimpleNorm < PreNorm + QKNorm < PreNorm.
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
  /// Returns `holds` if at least nine cases of ten are in this order.
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
        const double middle = norm_of(*qk, probe, row, relative);
        ++count.cases;
        count.holds +=
            norm_of(*own, probe, row, relative) < middle && middle < norm_of(*pre, probe, row, relative) ? 1 : 0;
      }
    }
  }
  return count;
}

}  // namespace

ClaimSection norms_section(const CurvatureResults& results) {
  ClaimSection norms;
  norms.section.title = "(b) ‖H_xx‖ by layer, at the start and along training";
  norms.section.warnings = results.warnings;
  norms.section.paragraphs = {
      "The Hessian of the loss with respect to the residual stream. Where the stream is normalised before it is used, "
      "scaling it hardly changes the loss, and ‖H_xx‖ falls with the square of its scale; the product ‖H_xx‖ RMS(x)² "
      "is "
      "therefore shown as well."};
  OrderCount input;
  OrderCount everywhere;
  OrderCount relative;
  for (const auto& [family, runs] : results.families) {
    input += count_order(runs, true, false);
    everywhere += count_order(runs, false, false);
    relative += count_order(runs, false, true);
    add_figures({norms_by_layer(runs, family, false, false), norms_by_layer(runs, family, true, false),
                 norms_by_layer(runs, family, true, true), norms_along(runs, family)},
                norms.section);
  }
  const std::string order = "SimpleNorm < PreNorm + QKNorm < PreNorm along training";
  const std::string rule = "in nine of ten cases: seeds, probes after the first, layers, families";
  norms.claims = {{"‖H_xx‖: " + order, "b", "ordering", everywhere.text(), everywhere.verdict(), rule},
                  {"the same at the input of the first layer", "b", "ordering", input.text(), input.verdict(), rule},
                  {"the same for ‖H_xx‖ RMS(x)², relative to the activation's scale", "b", "ordering", relative.text(),
                   relative.verdict(), rule}};
  return norms;
}

}  // namespace hessian::analysis
