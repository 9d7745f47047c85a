#pragma once

#include <ATen/ATen.h>

#include <string>
#include <vector>

#include "hessian/parameters.h"
#include "hessian/program.h"
#include "random_problems.h"

namespace hessian::support {

/// A primitive to test, with the parameters of primitive_parameters().
struct PrimitiveCase {
  std::string name;
  Operation operation;
  std::vector<int64_t> widths;  ///< of the activations that it takes
};

/// Returns every smooth primitive whose only inputs are activations, in the forms that differ in their derivatives.
inline std::vector<PrimitiveCase> primitive_cases() {
  return {{"Linear", Linear{"w", "b"}, {6}},
          {"RmsNorm", RmsNorm{"g"}, {6}},
          {"RmsNormWithALargeEpsilon", RmsNorm{"g", 0.1}, {6}},
          {"LayerNorm", LayerNorm{"g", "shift"}, {6}},
          {"LayerNormWithALargeEpsilon", LayerNorm{"g", "shift", 0.1}, {6}},
          {"LayerNormWithoutBias", LayerNorm{"g", ""}, {6}},
          {"Rope", Rope{6, 30.0}, {12}},
          {"RopeOfSmallHeads", Rope{2, 30.0}, {6}},
          {"CausalAttention", CausalAttention{3, 3}, {6, 6, 6}},
          {"CausalAttentionGrouped", CausalAttention{6, 2}, {12, 4, 4}},
          {"CausalAttentionOfOneKeyHead", CausalAttention{2, 1}, {6, 3, 3}},
          {"CausalAttentionScaled", CausalAttention{3, 3, 0.4}, {6, 6, 6}},
          {"CausalAttentionCapped", CausalAttention{3, 3, 0, 1.5}, {6, 6, 6}},
          {"CausalAttentionCappedGrouped", CausalAttention{6, 2, 1.3, 0.8}, {12, 4, 4}},
          {"CausalAttentionInAWindowOfOne", CausalAttention{3, 3, 0, 0, 1}, {6, 6, 6}},
          {"CausalAttentionInAWindowOfTwo", CausalAttention{6, 2, 0, 0, 2}, {12, 4, 4}},
          {"CausalAttentionInAWindowOfAllOrMore", CausalAttention{3, 3, 0, 0, 5}, {6, 6, 6}},
          {"CausalAttentionCappedInAWindow", CausalAttention{6, 2, 1.3, 0.8, 3}, {12, 4, 4}},
          {"SiluGate", SiluGate{}, {6, 6}},
          {"Gelu", Gelu{false}, {6}},
          {"GeluTanh", Gelu{true}, {6}},
          {"Add", Add{}, {6, 6}},
          {"Identity", Identity{}, {6}},
          {"AddPositions", AddPositions{"p"}, {6}}};
}

/// Draws random parameters for all of them and for a CrossEntropyHead{"head"} over 11 words.
inline Parameters primitive_parameters(Random& random) {
  Parameters parameters;
  parameters.add("w", random.normal({5, 6}));
  parameters.add("b", random.normal({5}));
  parameters.add("g", random.normal({6}));
  parameters.add("shift", random.normal({6}));
  parameters.add("p", random.normal({9, 6}));
  parameters.add("head", random.normal({11, 6}));
  return parameters;
}

}  // namespace hessian::support
