#pragma once

#include <algorithm>
#include <functional>
#include <iterator>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "content/layer_groups.h"
#include "figures/figure_builders.h"

namespace hessian::analysis {

/// The functions that draw groups of matrices (densities, eigenvalues).
template <class Group>
struct GroupDrawing {
  std::string id;  ///< first word of the figures' ids
  std::function<std::vector<Group>(const RunContent&)> groups_of;
  /// Draws the layers of one kind in one run.
  std::function<Figure(const std::string& kind, const LayerGroups<Group>&, const std::string& run_label)> by_layer;
  /// Draws one group of all runs that have it.
  std::function<Figure(const std::string& name)> of_group;
};

/// Draws a figure for each kind with several layers in each run, then one for each group. Leaves out the former for
/// more runs than can be compared by eye.
template <class Group>
std::vector<Figure> group_figures(const LabelledRuns& input, const GroupDrawing<Group>& drawing) {
  constexpr std::size_t max_runs = 12;
  std::vector<Figure> figures;
  std::set<std::string> names;
  for (std::size_t i = 0; i < input.runs.size(); ++i) {
    const std::vector<Group> groups = drawing.groups_of(input.runs[i]);
    std::transform(groups.begin(), groups.end(), std::inserter(names, names.end()),
                   [](const Group& group) { return group.name; });
    for (const auto& [kind, layers] : by_kind_and_layer(groups)) {
      if (layers.size() < 2 || input.runs.size() > max_runs) {
        continue;
      }
      Figure figure = drawing.by_layer(kind, layers, input.labels[i]);
      figure.id = drawing.id + "-by-block-" + file_part(kind) + numbered(i, input.runs.size());
      if (input.runs.size() > 1) {
        figure.caption = input.labels[i] + ": " + figure.caption;
      }
      figures.push_back(std::move(figure));
    }
  }
  std::transform(names.begin(), names.end(), std::back_inserter(figures), drawing.of_group);
  return figures;
}

}  // namespace hessian::analysis
