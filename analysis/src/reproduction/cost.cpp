#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <string>
#include <vector>

#include "hessian/run_file.h"
#include "reproduction/sections.h"

// Section (f): the time of a training step under each placement.

namespace hessian::analysis {
namespace {

/// Seconds per step by model and round.
using StepTimes = std::map<std::string, std::map<int64_t, double>>;

StepTimes read_times(const std::filesystem::path& file) {
  const experiments::RunFileReader run(file);
  const auto model = run.read<std::string>("/step_times/model").values;
  const auto round = run.read<int64_t>("/step_times/round").values;
  const auto seconds = run.read<double>("/step_times/step_seconds").values;
  StepTimes times;
  for (std::size_t i = 0; i < std::min({model.size(), round.size(), seconds.size()}); ++i) {
    times[model[i]][round[i]] = seconds[i];
  }
  return times;
}

/// Returns the quotients of two models' times, round by round.
Summary ratio_of(const StepTimes& times, const std::string& model, const std::string& baseline) {
  std::vector<double> ratios;
  const auto own = times.find(model);
  const auto other = times.find(baseline);
  if (own != times.end() && other != times.end()) {
    for (const auto& [round, seconds] : own->second) {
      if (const auto found = other->second.find(round); found != other->second.end()) {
        ratios.push_back(seconds / found->second);
      }
    }
  }
  return summarise(ratios);
}

/// Step times of one size over PreNorm's.
struct SizeCost {
  std::string size;  ///< `llama2-20M`
  Summary qk_norm;
  Summary simple_norm;
};

std::vector<SizeCost> costs_of(const StepTimes& times) {
  std::vector<SizeCost> costs;
  for (const auto& [model, rounds] : times) {
    const std::string size = model.substr(0, model.rfind('-'));
    if (costs.empty() || costs.back().size != size) {  // the models are sorted by name
      costs.push_back({size, ratio_of(times, size + "-preqknorm", size + "-prenorm"),
                       ratio_of(times, size + "-simplegpt", size + "-prenorm")});
    }
  }
  return costs;
}

Figure cost_figure(const std::vector<SizeCost>& costs) {
  struct Series {
    const char* placement;
    Summary SizeCost::*ratio;
    double first_place;  // left and right of the name's place, so that the two do not overlap
  };
  constexpr double aside = 0.1;
  Figure figure;
  figure.id = "f-step-times";
  figure.title = "Time of a training step over PreNorm's";
  figure.caption = "Median over rounds in which the models take turns; the bars show their range.";
  figure.x.label = "model";
  figure.y.label = "step time / PreNorm's";
  for (const Series& series :
       {Series{"preqknorm", &SizeCost::qk_norm, 1 - aside}, Series{"simplegpt", &SizeCost::simple_norm, 1 + aside}}) {
    Curve curve;
    curve.label = placement_name(series.placement);
    curve.color = placement_color(series.placement);
    curve.mark = Mark::points;
    double place = series.first_place;
    for (const SizeCost& cost : costs) {
      add_point(curve, place++, cost.*series.ratio);
    }
    figure.curves.push_back(std::move(curve));
  }
  for (const SizeCost& cost : costs) {
    figure.x.names.push_back(cost.size);
  }
  return figure;
}

Table cost_table(const std::vector<SizeCost>& costs) {
  Table table{
      "Step time over PreNorm's: median and range over rounds", {"model", "PreNorm + QKNorm", "SimpleNorm"}, {}};
  for (const SizeCost& cost : costs) {
    table.rows.push_back({cost.size, spread_text(cost.qk_norm), spread_text(cost.simple_norm)});
  }
  return table;
}

Claim cost_claim(const std::vector<SizeCost>& costs) {
  constexpr double largest_ratio = 1.05;
  std::vector<bool> cases;
  std::string ours;
  for (const SizeCost& cost : costs) {
    const Summary& ratio = cost.simple_norm;
    if (std::isfinite(ratio.median)) {
      cases.push_back(ratio.median <= largest_ratio);
      ours += fmt::format("{}{}: {:+.0f} % ({:+.0f} … {:+.0f})", ours.empty() ? "" : "; ", cost.size,
                          100 * (ratio.median - 1), 100 * (ratio.low - 1), 100 * (ratio.high - 1));
    }
  }
  return {"cost of SimpleNorm's additional norms, over a PreNorm step",
          "f",
          "about 3 % when fused",
          or_dash(ours),
          verdict_of(cases),
          "the median over rounds is at most 5 % for every size"};
}

}  // namespace

ClaimSection cost_section(const std::filesystem::path& step_times) {
  ClaimSection cost;
  cost.section.title = "(f) Cost of the additional norms";
  std::vector<SizeCost> costs;
  if (read_or_warn(step_times, cost.section.warnings)) {
    costs = costs_of(read_times(step_times));
    add_figures({cost_figure(costs)}, cost.section);
    cost.section.tables = {cost_table(costs)};
  }
  cost.claims = {cost_claim(costs)};
  return cost;
}

}  // namespace hessian::analysis
