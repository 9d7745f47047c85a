#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "content/spectrum_content.h"

namespace hessian::analysis {

/// Returns the name of a map under any placement: SimpleNorm's `attention.snq` is `attention.wq` elsewhere.
std::string matched_map(const std::string& map);

/// Returns the matched names of all maps, in the order in which a layer has them. Null pointers are skipped.
std::vector<std::string> matched_maps(const std::vector<const Anatomy*>& anatomies);

/// Returns the rows of a map, by matched name, sorted by layer.
std::vector<std::size_t> rows_of_map(const Anatomy& anatomy, const std::string& map);

/// Returns the layers, ascending.
std::vector<int64_t> layers_of(const Anatomy& anatomy);

/// A function that returns a quantity of a row's map for each sequence, [S]. All but the gain are NaN if C = 0.
using MapQuantity = std::vector<double> (*)(const Anatomy& anatomy, std::size_t row);
std::vector<double> gain_of_map(const Anatomy& anatomy, std::size_t row);
std::vector<double> curvature_of_map(const Anatomy& anatomy, std::size_t row);
std::vector<double> ratio_of_map(const Anatomy& anatomy, std::size_t row);
std::vector<double> cosine_of_map(const Anatomy& anatomy, std::size_t row);

}  // namespace hessian::analysis
