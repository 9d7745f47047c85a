#include "figures/figures.h"

#include <algorithm>
#include <iterator>
#include <string>

#include "content/run_labels.h"
#include "figures/figure_builders.h"

namespace hessian::analysis {

std::string numbered(std::size_t i, std::size_t n) {
  return n > 1 ? "-" + std::to_string(i + 1) : "";
}

std::string units_suffix(const std::string& units) {
  return units.empty() || units == "1" ? "" : " (" + units + ")";
}

std::vector<Figure> figures_of(const std::vector<RunContent>& runs) {
  const std::vector<std::string> labels = run_labels(runs);
  std::vector<Figure> figures;
  for (const auto build : {sweep_figures, training_figures, probe_figures, anatomy_figures, eigenvalue_figures,
                           estimate_figures, density_figures}) {
    std::vector<Figure> more = build({runs, labels});
    std::copy_if(std::make_move_iterator(more.begin()), std::make_move_iterator(more.end()),
                 std::back_inserter(figures), has_points);
  }
  std::for_each(figures.begin(), figures.end(), thin_legend);
  return figures;
}

}  // namespace hessian::analysis
