#pragma once

#include <algorithm>
#include <stdexcept>
#include <string>
#include <vector>

#include "figures/figure.h"

namespace hessian::tests {

inline const analysis::Figure& figure_named(const std::vector<analysis::Figure>& figures, const std::string& id) {
  const auto found =
      std::find_if(figures.begin(), figures.end(), [&](const analysis::Figure& figure) { return figure.id == id; });
  if (found == figures.end()) {
    throw std::runtime_error("there is no figure " + id);
  }
  return *found;
}

inline const analysis::Curve& curve_named(const analysis::Figure& figure, const std::string& label) {
  const auto found = std::find_if(figure.curves.begin(), figure.curves.end(),
                                  [&](const analysis::Curve& curve) { return curve.label == label; });
  if (found == figure.curves.end()) {
    throw std::runtime_error(figure.id + " has no curve " + label);
  }
  return *found;
}

}  // namespace hessian::tests
