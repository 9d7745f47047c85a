#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "content/run_content.h"
#include "content/summary.h"
#include "output/report.h"
#include "reproduction/reproduction.h"

namespace hessian::analysis {

/// One figure letter of the reproduction: its claims, and what is shown of it.
struct ReproductionPart {
  std::vector<Claim> claims;
  Section section;
};

/// H_xx of single maps against ||W|| and width (a).
ReproductionPart maps_part(const ReproductionFiles& files);
/// ||H_xx|| by layer and along training (b), and activation scales (c), of the runs with every site probed.
ReproductionPart norms_part(const ReproductionFiles& files);
ReproductionPart scales_part(const ReproductionFiles& files);
/// Largest stable rates (d), loss curves (e), and stable rates against curvature (g), of the sweeps.
ReproductionPart rates_part(const ReproductionFiles& files);
ReproductionPart losses_part(const ReproductionFiles& files);
ReproductionPart thresholds_part(const ReproductionFiles& files);
/// What the additional norms cost (f).
ReproductionPart cost_part(const ReproductionFiles& files);

/// The placements that are compared, in the order in which they are shown.
extern const std::vector<std::string> compared_placements;

/// `simplegpt` of `llama2-20M-simplegpt`.
std::string placement_of(const std::string& model);
/// A placement's name for people, and its colour in every figure.
std::string placement_name(const std::string& placement);
std::string placement_color(const std::string& placement);

/// A run file's content, or a warning in the section if there is none or it is not finished.
std::optional<RunContent> read_part(const std::filesystem::path& file, Section& section);

/// `1.23 (1.1 … 1.4)`
std::string spread_text(const Summary& summary);
std::string number_text(double value);

/// Keeps what belongs to one curve at one x until it is drawn as median and range.
class SpreadCurve {
 public:
  void add(double x, double y) { values_[x].push_back(y); }
  [[nodiscard]] bool empty() const { return values_.empty(); }
  [[nodiscard]] Curve curve(const std::string& label, const std::string& color) const;

 private:
  std::map<double, std::vector<double>> values_;
};

/// Holds for all, for none, or for some, and then it does not hold.
Verdict verdict_of(const std::vector<bool>& cases);

}  // namespace hessian::analysis
