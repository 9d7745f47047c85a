#pragma once

#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "content/run_content.h"
#include "content/summary.h"
#include "output/report.h"
#include "reproduction/curvature.h"
#include "reproduction/reproduction.h"
#include "reproduction/stability.h"

namespace hessian::analysis {

/// One letter of the reproduction: its claims, and the chapter of the report that shows them.
struct ClaimSection {
  std::vector<Claim> claims;
  Section section;
};

/// Makes section (a): H_xx of single maps against ||W|| and width.
ClaimSection maps_section(const std::filesystem::path& synthetic);

/// Makes section (b): ||H_xx|| by layer and along training.
ClaimSection norms_section(const CurvatureResults& results);

/// Makes section (c): activation scales along training.
ClaimSection scales_section(const CurvatureResults& results);

/// Makes section (d): largest stable learning rates.
ClaimSection rates_section(const StabilityResults& results);

/// Makes section (e): loss curves and best losses.
ClaimSection losses_section(const StabilityResults& results);

/// Makes section (f): step times of the placements.
ClaimSection cost_section(const std::filesystem::path& step_times);

/// Makes section (g): largest stable rates against the rates that curvature allows.
ClaimSection thresholds_section(const StabilityResults& results);

/// The placements that are compared, in the order in which they are shown.
extern const std::vector<std::string> compared_placements;

/// Returns `simplegpt` for `llama2-0.9M-simplegpt`.
std::string placement_of(const std::string& model);

/// Returns the name of a placement in texts: `SimpleNorm` for `simplegpt`.
std::string placement_name(const std::string& placement);

/// Returns the colour of a placement, the same in every figure.
std::string placement_color(const std::string& placement);

/// Reads a run file. If it does not exist, cannot be read or is not finished, a warning says so.
std::optional<RunContent> read_or_warn(const std::filesystem::path& file, std::vector<std::string>& warnings);

/// Appends the figures that have points.
void add_figures(std::vector<Figure> figures, Section& section);

/// Formats a number with three significant digits, a dash for NaN.
std::string number_text(double value);

/// Formats median and range: `1.23 (1.1 … 1.4)`.
std::string spread_text(const Summary& summary);

/// Returns `text`, or a dash if it is empty.
std::string or_dash(const std::string& text);

/// Collects the values of one curve by their x, to draw their median and range.
class SpreadCurve {
 public:
  void add(double x, double y) { values_[x].push_back(y); }
  [[nodiscard]] bool empty() const { return values_.empty(); }
  [[nodiscard]] Curve curve(const std::string& label, const std::string& color) const;

 private:
  std::map<double, std::vector<double>> values_;
};

/// Returns `holds` if all cases hold, `undecided` if there is none, `does_not_hold` otherwise.
Verdict verdict_of(const std::vector<bool>& cases);

}  // namespace hessian::analysis
