#include "spectrum/anatomy.h"

#include <algorithm>
#include <limits>
#include <map>
#include <stdexcept>
#include <utility>

#include "hessian/lanczos.h"
#include "hessian/map_curvature.h"
#include "spectrum/layout.h"

namespace hessian::experiments {
namespace {

std::string prefix_of(int64_t layer) {
  return "layers." + std::to_string(layer) + ".";
}

std::string without_ends(const std::string& weight, const std::string& prefix) {
  std::string name = weight.substr(prefix.size());
  for (const std::string suffix : {".weight", ".lin"}) {  // a SimpleNorm map has its weight and its norm below it
    name = name.ends_with(suffix) ? name.substr(0, name.size() - suffix.size()) : name;
  }
  return name;
}

/// The program from a block on, and the maps of that block.
struct Block {
  hessian::Program program;
  std::vector<hessian::LinearMap> maps;
};

Block block_at(const models::Forward& forward, int64_t layer) {
  Block block{forward.losses_program(layer), {}};
  for (hessian::LinearMap& map : hessian::linear_maps(block.program)) {
    if (map.weight.starts_with(prefix_of(layer))) {
      block.maps.push_back(std::move(map));
    }
  }
  return block;
}

/// The eigenvalue of largest magnitude of each block, with its eigenvector.
struct Dominant {
  at::Tensor norm;       // [S]
  at::Tensor residual;   // [S]
  at::Tensor vector;     // [S, n]
  at::Tensor converged;  // [S]
};

Dominant dominant(const SpectrumOptions& options, const hessian::LinearOperator& op,
                  const std::vector<int64_t>& problem_numbers) {
  hessian::LanczosOptions lanczos;
  lanczos.ends = hessian::Ends::dominant;
  lanczos.tolerance = options.probe.tolerance;
  lanczos.max_iterations = options.probe.max_iterations;
  lanczos.seed = options.probe.seed;
  lanczos.problem_numbers = problem_numbers;
  const hessian::ExtremalEigenvalues ends = hessian::lanczos(op, lanczos);
  // An end that was not sought has the vector zero.
  return {ends.spectral_norm(), ends.residual_norm(), ends.vector_max + ends.vector_min, ends.converged};
}

}  // namespace

std::vector<BlockMap> block_maps(const models::Forward& forward, const std::vector<int64_t>& layers) {
  std::vector<BlockMap> maps;
  for (const int64_t layer : layers) {
    if (layer == forward.config().n_layers) {
      continue;  // the final norm's input has no map of a block
    }
    for (const hessian::LinearMap& map : block_at(forward, layer).maps) {
      maps.push_back({layer, without_ends(map.weight, prefix_of(layer)), map.normalised});
    }
  }
  return maps;
}

Numbers dissect(const SpectrumOptions& options, const ProbeSubject& subject, const BlockMap& map,
                const at::Tensor& residual, int64_t sequences_at_once) {
  const Block block = block_at(subject.forward, map.layer);
  const auto found = std::find_if(block.maps.begin(), block.maps.end(), [&map](const hessian::LinearMap& there) {
    return without_ends(there.weight, prefix_of(map.layer)) == map.name;
  });
  if (found == block.maps.end()) {
    throw std::logic_error("block " + std::to_string(map.layer) + " has no map " + map.name);
  }
  const at::Tensor x = residual.scalar_type() == at::kDouble ? residual : residual.to(at::kFloat);
  std::map<std::string, std::vector<at::Tensor>> parts;
  for (int64_t first = 0; first < subject.sequences(); first += sequences_at_once) {
    const int64_t count = std::min(sequences_at_once, subject.sequences() - first);
    std::vector<int64_t> numbers;
    for (int64_t i = 0; i < count; ++i) {
      numbers.push_back(first + i);
    }
    const hessian::MapCurvature curvature(block.program, subject.forward.parameters(),
                                          {x.narrow(0, first, count), subject.targets.narrow(0, first, count)}, *found);
    const Dominant gain = dominant(options, *curvature.gain_term(), numbers);
    Dominant whole = gain;  // of a bare map, where C is zero
    Dominant bend{at::zeros_like(gain.norm), at::zeros_like(gain.norm), at::zeros_like(gain.vector),
                  at::ones_like(gain.converged)};
    at::Tensor cosine = at::full_like(gain.norm, std::numeric_limits<double>::quiet_NaN());
    if (found->normalised) {
      whole = dominant(options, *curvature.hessian(), numbers);
      bend = dominant(options, *curvature.curvature_term(), numbers);
      cosine = (gain.vector * bend.vector).sum(1).abs().to(at::kCPU, at::kDouble);
    }
    parts["gain_norm"].push_back(gain.norm);
    parts["gain_residual"].push_back(gain.residual);
    parts["curvature_norm"].push_back(bend.norm);
    parts["curvature_residual"].push_back(bend.residual);
    parts["norm"].push_back(whole.norm);
    parts["residual"].push_back(whole.residual);
    parts["cosine"].push_back(cosine);
    parts["converged"].push_back(gain.converged.logical_and(bend.converged).logical_and(whole.converged));
  }
  Numbers numbers;
  for (const auto& [name, of_parts] : parts) {
    numbers[anatomy_path(name)] = at::cat(of_parts).to(at::kDouble).unsqueeze(0);
  }
  return numbers;
}

}  // namespace hessian::experiments
