#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "hessian/run_file.h"
#include "reproduction/parts.h"

namespace hessian::analysis {
namespace {

/// Seconds of a step by model and round.
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

/// Times of a model over those of another, round by round.
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

}  // namespace

ReproductionPart cost_part(const ReproductionFiles& files) {
  ReproductionPart part;
  part.section.title = "(f) What the additional norms cost";
  Claim claim{"cost of SimpleNorm's additional norms, over a PreNorm step",
              "f",
              "about 3 % when fused",
              "–",
              Verdict::undecided,
              "the median over rounds is at most 5 % for every size"};
  if (read_part(files.step_times, part.section)) {
    const StepTimes times = read_times(files.step_times);
    std::set<std::string> stems;
    for (const auto& [model, rounds] : times) {
      stems.insert(model.substr(0, model.rfind('-')));
    }
    Figure figure;
    figure.id = "f-step-times";
    figure.title = "Time of a training step over PreNorm's";
    figure.caption = "Median over rounds in which the models take turns; the bars are their range.";
    figure.x.label = "model";
    figure.y.label = "step time / PreNorm's";
    Table table{
        "Step time over PreNorm's: median and range over rounds", {"model", "PreNorm + QKNorm", "SimpleNorm"}, {}};
    std::vector<bool> cheap;
    std::string ours;
    for (const std::string& placement : {compared_placements[1], compared_placements[2]}) {
      Curve curve;
      curve.label = placement_name(placement);
      curve.color = placement_color(placement);
      curve.mark = Mark::points;
      double place = placement == "simplegpt" ? 1.1 : 0.9;
      for (const std::string& stem : stems) {
        const Summary ratio = ratio_of(times, stem + "-" + placement, stem + "-prenorm");
        add_point(curve, place++, ratio);
        if (placement == "simplegpt" && std::isfinite(ratio.median)) {
          cheap.push_back(ratio.median <= 1.05);
          ours += fmt::format("{}{}: {:+.0f} % ({:+.0f} … {:+.0f})", ours.empty() ? "" : "; ", stem,
                              100 * (ratio.median - 1), 100 * (ratio.low - 1), 100 * (ratio.high - 1));
        }
      }
      figure.curves.push_back(std::move(curve));
    }
    for (const std::string& stem : stems) {
      figure.x.names.push_back(stem);
      table.rows.push_back({stem, spread_text(ratio_of(times, stem + "-preqknorm", stem + "-prenorm")),
                            spread_text(ratio_of(times, stem + "-simplegpt", stem + "-prenorm"))});
    }
    if (has_points(figure)) {
      part.section.figures.push_back(std::move(figure));
    }
    part.section.tables.push_back(std::move(table));
    claim.ours = ours.empty() ? "–" : ours;
    claim.verdict = verdict_of(cheap);
  }
  part.claims = {claim};
  return part;
}

}  // namespace hessian::analysis
