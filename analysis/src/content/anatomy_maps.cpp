#include "content/anatomy_maps.h"

#include <algorithm>
#include <cmath>
#include <set>

namespace hessian::analysis {

std::string matched_map(const std::string& map) {
  const std::size_t start = map.find(".sn");
  return start == std::string::npos ? map : map.substr(0, start) + ".w" + map.substr(start + 3);
}

std::vector<std::string> matched_maps(const std::vector<const Anatomy*>& anatomies) {
  std::vector<std::string> names;
  for (const Anatomy* anatomy : anatomies) {
    for (std::size_t row = 0; anatomy != nullptr && row < anatomy->map.size(); ++row) {
      const std::string name = matched_map(anatomy->map[row]);
      if (std::find(names.begin(), names.end(), name) == names.end()) {
        names.push_back(name);
      }
    }
  }
  return names;
}

std::vector<std::size_t> rows_of_map(const Anatomy& anatomy, const std::string& map) {
  std::vector<std::size_t> rows;
  for (std::size_t row = 0; row < anatomy.map.size(); ++row) {
    if (matched_map(anatomy.map[row]) == map) {
      rows.push_back(row);
    }
  }
  std::stable_sort(rows.begin(), rows.end(),
                   [&anatomy](std::size_t a, std::size_t b) { return anatomy.layer[a] < anatomy.layer[b]; });
  return rows;
}

std::vector<int64_t> layers_of(const Anatomy& anatomy) {
  const std::set<int64_t> layers(anatomy.layer.begin(), anatomy.layer.end());
  return {layers.begin(), layers.end()};
}

std::vector<double> gain_of_map(const Anatomy& anatomy, std::size_t row) {
  return anatomy.over_sequences(anatomy.gain_norm, row);
}

std::vector<double> curvature_of_map(const Anatomy& anatomy, std::size_t row) {
  if (anatomy.normalised[row] == 0) {
    return std::vector<double>(static_cast<std::size_t>(anatomy.sequences), NAN);
  }
  return anatomy.over_sequences(anatomy.curvature_norm, row);
}

std::vector<double> ratio_of_map(const Anatomy& anatomy, std::size_t row) {
  std::vector<double> ratios = curvature_of_map(anatomy, row);
  const std::vector<double> gains = gain_of_map(anatomy, row);
  for (std::size_t i = 0; i < ratios.size(); ++i) {
    ratios[i] /= gains[i];
  }
  return ratios;
}

std::vector<double> cosine_of_map(const Anatomy& anatomy, std::size_t row) {
  return anatomy.over_sequences(anatomy.cosine, row);
}

}  // namespace hessian::analysis
