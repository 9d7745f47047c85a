#include "spectrum/anatomy.h"

#include <algorithm>
#include <limits>
#include <numeric>
#include <stdexcept>
#include <utility>

#include "hessian/lanczos.h"
#include "hessian/map_curvature.h"
#include "probe/solver.h"
#include "spectrum/layout.h"

namespace hessian::experiments {
namespace {

std::string prefix_of(int64_t layer) {
  return "layers." + std::to_string(layer) + ".";
}

std::string without_ends(const std::string& weight, const std::string& prefix) {
  std::string name = weight.substr(prefix.size());
  for (const std::string suffix : {".weight", ".lin"}) {  // the weight of a SimpleNorm map is NAME.lin.weight
    name = name.ends_with(suffix) ? name.substr(0, name.size() - suffix.size()) : name;
  }
  return name;
}

/// The program from a layer on, and the maps of that layer.
struct LayerProgram {
  Program program;
  std::vector<LinearMap> maps;
};

LayerProgram program_from(const models::Forward& forward, int64_t layer) {
  LayerProgram from{forward.losses_program(layer), {}};
  for (LinearMap& map : linear_maps(from.program)) {
    if (map.weight.starts_with(prefix_of(layer))) {
      from.maps.push_back(std::move(map));
    }
  }
  return from;
}

/// Eigenpair of largest magnitude of each matrix.
struct Dominant {
  at::Tensor norm;       // [S]
  at::Tensor residual;   // [S]
  at::Tensor vector;     // [S, n]
  at::Tensor converged;  // [S]
};

/// \param sequences  number of sequences of the whole run
Dominant dominant(const SpectrumOptions& options, const LinearOperator& op, int64_t sequences,
                  const std::vector<int64_t>& problem_numbers) {
  LanczosOptions solver_options;
  solver_options.ends = Ends::dominant;
  solver_options.tolerance = options.probe.tolerance;
  solver_options.max_iterations = options.probe.max_iterations;
  solver_options.certificate = certificate_of(options.probe, sequences);
  solver_options.seed = options.probe.seed;
  solver_options.problem_numbers = problem_numbers;
  const ExtremalEigenvalues ends = lanczos(op, solver_options);
  // Adds the vectors of both ends, because that of the end that is not dominant is zero.
  return {ends.spectral_norm(), ends.residual_norm(), ends.vector_max + ends.vector_min, ends.converged};
}

/// Dissects a map for the sequences with the given numbers.
MapAnatomy dissect_chunk(const SpectrumOptions& options, const MapCurvature& curvature, const LayerMap& map,
                         int64_t all_sequences, const std::vector<int64_t>& sequences) {
  const Dominant gain = dominant(options, *curvature.gain_term(), all_sequences, sequences);
  Dominant whole = gain;  // correct for a map without a norm, since its C is zero
  Dominant bend{at::zeros_like(gain.norm), at::zeros_like(gain.norm), at::zeros_like(gain.vector),
                at::ones_like(gain.converged)};
  at::Tensor cosine = at::full_like(gain.norm, std::numeric_limits<double>::quiet_NaN());
  if (map.normalised) {
    whole = dominant(options, *curvature.hessian(), all_sequences, sequences);
    bend = dominant(options, *curvature.curvature_term(), all_sequences, sequences);
    cosine = (gain.vector * bend.vector).sum(1).abs().to(at::kCPU, at::kDouble);
  }
  return {.map = map,
          .gain_norm = gain.norm,
          .gain_residual = gain.residual,
          .curvature_norm = bend.norm,
          .curvature_residual = bend.residual,
          .norm = whole.norm,
          .residual = whole.residual,
          .cosine = cosine,
          .converged = gain.converged.logical_and(bend.converged).logical_and(whole.converged)};
}

}  // namespace

std::vector<LayerMap> layer_maps(const models::Forward& forward, const std::vector<int64_t>& layers) {
  std::vector<LayerMap> maps;
  for (const int64_t layer : layers) {
    if (layer == forward.config().n_layers) {
      continue;  // the input of the final norm belongs to no layer
    }
    for (const LinearMap& map : program_from(forward, layer).maps) {
      maps.push_back({layer, without_ends(map.weight, prefix_of(layer)), map.normalised});
    }
  }
  return maps;
}

MapAnatomy dissect(const SpectrumOptions& options, const ProbeSubject& subject, const LayerMap& map,
                   const at::Tensor& residual, int64_t sequences_at_once) {
  const LayerProgram from = program_from(subject.forward, map.layer);
  const auto found = std::find_if(from.maps.begin(), from.maps.end(), [&map](const LinearMap& candidate) {
    return without_ends(candidate.weight, prefix_of(map.layer)) == map.name;
  });
  if (found == from.maps.end()) {
    throw std::logic_error("layer " + std::to_string(map.layer) + " has no map " + map.name);
  }
  const at::Tensor x = residual.scalar_type() == at::kDouble ? residual : residual.to(at::kFloat);
  MapAnatomy whole{map};
  const std::vector<StoredTensor> into = stored_tensors(whole, subject.sequences());
  std::vector<std::vector<at::Tensor>> chunks(into.size());
  for (int64_t first = 0; first < subject.sequences(); first += sequences_at_once) {
    const int64_t count = std::min(sequences_at_once, subject.sequences() - first);
    std::vector<int64_t> sequences(static_cast<std::size_t>(count));
    std::iota(sequences.begin(), sequences.end(), first);
    const MapCurvature curvature(from.program, subject.forward.parameters(),
                                 {x.narrow(0, first, count), subject.targets.narrow(0, first, count)}, *found);
    MapAnatomy chunk = dissect_chunk(options, curvature, map, subject.sequences(), sequences);
    const std::vector<StoredTensor> stored = stored_tensors(chunk, count);
    for (std::size_t i = 0; i < stored.size(); ++i) {
      chunks[i].push_back(*stored[i].tensor);
    }
  }
  for (std::size_t i = 0; i < into.size(); ++i) {
    *into[i].tensor = at::cat(chunks[i]).to(at::kCPU, at::kDouble);
  }
  return whole;
}

}  // namespace hessian::experiments
