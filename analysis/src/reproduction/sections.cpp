#include "reproduction/sections.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <iterator>

namespace hessian::analysis {

const std::vector<std::string> compared_placements = {"prenorm", "preqknorm", "simplegpt"};

std::string placement_of(const std::string& model) {
  return model.substr(model.rfind('-') + 1);
}

std::string placement_name(const std::string& placement) {
  if (placement == "prenorm") {
    return "PreNorm";
  }
  if (placement == "preqknorm") {
    return "PreNorm + QKNorm";
  }
  return placement == "simplegpt" ? "SimpleNorm" : placement;
}

std::string placement_color(const std::string& placement) {
  const auto place = std::find(compared_placements.begin(), compared_placements.end(), placement);
  return categorical_color(static_cast<std::size_t>(place - compared_placements.begin()));
}

std::optional<RunContent> read_or_warn(const std::filesystem::path& file, std::vector<std::string>& warnings) {
  if (!std::filesystem::exists(file)) {
    warnings.push_back(file.string() + " does not exist yet");
    return std::nullopt;
  }
  try {
    RunContent run = read_run(file);
    if (!run.finished) {
      warnings.push_back(file.string() + " is not finished; its contents so far are shown");
    }
    warnings.insert(warnings.end(), run.problems.begin(), run.problems.end());
    return run;
  } catch (const std::runtime_error& error) {
    warnings.emplace_back(error.what());
    return std::nullopt;
  }
}

void add_figures(std::vector<Figure> figures, Section& section) {
  std::copy_if(std::make_move_iterator(figures.begin()), std::make_move_iterator(figures.end()),
               std::back_inserter(section.figures), has_points);
}

std::string number_text(double value) {
  return std::isfinite(value) ? fmt::format("{:.3g}", value) : "–";
}

std::string spread_text(const Summary& summary) {
  if (!std::isfinite(summary.median)) {
    return "–";
  }
  return summary.low == summary.high ? number_text(summary.median)
                                     : fmt::format("{} ({} … {})", number_text(summary.median),
                                                   number_text(summary.low), number_text(summary.high));
}

std::string or_dash(const std::string& text) {
  return text.empty() ? "–" : text;
}

Curve SpreadCurve::curve(const std::string& label, const std::string& color) const {
  Curve curve;
  curve.label = label;
  curve.color = color;
  curve.mark = Mark::line_and_points;
  for (const auto& [x, values] : values_) {
    add_point(curve, x, summarise(values));
  }
  return curve;
}

Verdict verdict_of(const std::vector<bool>& cases) {
  if (cases.empty()) {
    return Verdict::undecided;
  }
  return std::all_of(cases.begin(), cases.end(), [](bool holds) { return holds; }) ? Verdict::holds
                                                                                   : Verdict::does_not_hold;
}

}  // namespace hessian::analysis
