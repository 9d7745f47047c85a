#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "content/spectrum_content.h"

namespace hessian::analysis {

/// The name of a map whatever the placement: SimpleNorm's `attention.snq` is the others' `attention.wq`.
std::string matched_map(const std::string& map);

/// All maps of some anatomies under these names, in the order in which blocks have them. Null pointers are left out.
std::vector<std::string> matched_maps(const std::vector<const Anatomy*>& anatomies);

/// The rows of a map so named, by block.
std::vector<std::size_t> rows_of_map(const Anatomy& anatomy, const std::string& map);

/// Blocks, ascending.
std::vector<int64_t> layers_of(const Anatomy& anatomy);

/// A number of each sequence at the map of a row, [S]. All but the gain are NaN where C = 0.
using MapQuantity = std::vector<double> (*)(const Anatomy& anatomy, std::size_t row);
std::vector<double> gain_of_map(const Anatomy& anatomy, std::size_t row);
std::vector<double> curvature_of_map(const Anatomy& anatomy, std::size_t row);
std::vector<double> ratio_of_map(const Anatomy& anatomy, std::size_t row);
std::vector<double> cosine_of_map(const Anatomy& anatomy, std::size_t row);

}  // namespace hessian::analysis
