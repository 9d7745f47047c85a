#include "spectrum/estimates.h"

#include <algorithm>
#include <utility>

#include "hessian/hutchinson_samples.h"
#include "hessian/norms.h"
#include "hessian/spectral_density.h"
#include "hessian/top_eigenpairs.h"
#include "hessian/trace.h"
#include "probe/solver.h"
#include "spectrum/layout.h"

namespace hessian::experiments {
namespace {

void compute_ends(const SpectrumOptions& options, int64_t max_basis, const GroupChunk& chunk, GroupSpectrum& result) {
  const int64_t dim = result.group.dim;
  TopEigenpairsOptions top;
  top.count = std::min(options.top, dim);
  top.block_width = std::min(options.block_width, dim);
  top.max_basis = std::min(max_basis, dim);
  top.tolerance = options.probe.tolerance;
  top.max_iterations = options.probe.max_iterations;
  top.certificate = certificate_of(options.probe, result.group.problems);
  top.seed = options.probe.seed;
  top.problem_numbers = chunk.problem_numbers;
  top.ends = has_lower_end(options) ? Ends::both : Ends::upper;
  const TopEigenpairs pairs = top_eigenpairs(*chunk.op, top);
  const auto end_from = [&](int64_t first) {
    const auto of = [&](const at::Tensor& all) { return all.narrow(1, first, top.count); };
    return SpectrumEnd{of(pairs.values), of(pairs.residuals), of(pairs.converged),
                       options.vectors ? of(pairs.vectors) : at::Tensor()};
  };
  result.upper = end_from(0);
  if (top.ends == Ends::both) {
    result.lower = end_from(top.count);
  }
  result.iterations = pairs.iterations;
}

/// Estimates trace, norm, effective rank and diagonal from one set of products; Hutch++ takes further products of its own.
void estimate_from_samples(const SpectrumOptions& options, const GroupChunk& chunk, GroupSpectrum& result) {
  SampleOptions sampling;
  sampling.seed = options.probe.seed;
  sampling.problem_numbers = chunk.problem_numbers;
  sampling.samples = 4 * options.samples;
  const HutchinsonSamples samples = hutchinson_samples(*chunk.op, sampling, options.diagonal);
  if (options.diagonal) {
    result.diagonal = samples.diagonal;
  }
  if (!options.trace) {
    return;
  }
  if (options.trace == TraceMethod::hutchinson) {
    result.trace = hutchinson_trace(samples);
  } else {
    HutchPlusPlusOptions plus;
    plus.seed = sampling.seed;
    plus.problem_numbers = sampling.problem_numbers;
    plus.products = std::max<int64_t>(6, sampling.samples);
    result.trace = hutch_plus_plus_trace(*chunk.op, plus);
  }
  result.frobenius_norm = frobenius_norm(samples);
  result.effective_rank = participation_ratio(samples);
  result.effective_rank_determined = participation_is_determined(samples);
}

SpectralQuadrature quadrature_of(const SpectrumOptions& options, int64_t dim, const GroupChunk& chunk) {
  QuadratureOptions quadrature;
  quadrature.seed = options.probe.seed;
  quadrature.problem_numbers = chunk.problem_numbers;
  quadrature.samples = options.samples;
  quadrature.steps = std::min(options.steps, dim);
  return spectral_quadrature(*chunk.op, quadrature);
}

/// Computes the mean density of all matrices whose products are finite. Pools their samples as if one matrix had the
/// eigenvalues of all of them. The Ritz values of the others are NaN.
SpectralDensity pooled_density(int64_t dim, const std::vector<SpectralQuadrature>& chunks) {
  std::vector<at::Tensor> nodes;
  std::vector<at::Tensor> weights;
  for (const SpectralQuadrature& chunk : chunks) {
    nodes.push_back(chunk.nodes.flatten(0, 1));
    weights.push_back(chunk.weights.flatten(0, 1));
  }
  SpectralQuadrature all{at::cat(nodes).unsqueeze(0), at::cat(weights).unsqueeze(0), dim};
  const at::Tensor finite = all.weights[0].isnan().any(1).logical_not().nonzero().squeeze(1);
  SpectralQuadrature used = all;
  if (finite.numel() > 0) {
    used.nodes = all.nodes.index_select(1, finite);
    used.weights = all.weights.index_select(1, finite);
  }
  DensityOptions options;
  options.grid_points = density_points;
  SpectralDensity density = spectral_density(std::move(used), options);
  density.quadrature = std::move(all);
  return density;
}

/// Concatenates the results of chunks along the first dimension, which counts the matrices.
GroupSpectrum joined(const SpectrumOptions& options, std::vector<GroupSpectrum>& chunks) {
  std::vector<std::vector<StoredTensor>> stored;
  for (GroupSpectrum& chunk : chunks) {
    stored.push_back(stored_tensors(options, chunk));
  }
  GroupSpectrum whole{chunks.front().group};
  const std::vector<StoredTensor> into = stored_tensors(options, whole);
  for (std::size_t i = 0; i < into.size(); ++i) {
    std::vector<at::Tensor> tensors;
    for (const auto& of_chunk : stored) {
      tensors.push_back(*of_chunk[i].tensor);
    }
    if (tensors.front().defined()) {  // false only for the density, which pooled_density() computes
      *into[i].tensor = at::cat(tensors, 0);
    }
  }
  return whole;
}

}  // namespace

GroupSpectrum estimate_group(const SpectrumOptions& options, const SpectrumGroup& group, int64_t max_basis,
                             const ForEachChunk& for_each_chunk) {
  std::vector<GroupSpectrum> chunks;
  std::vector<SpectralQuadrature> quadratures;
  for_each_chunk([&](const GroupChunk& chunk) {
    GroupSpectrum result{group};
    if (options.top > 0) {
      compute_ends(options, max_basis, chunk, result);
    }
    if (options.trace || options.diagonal) {
      estimate_from_samples(options, chunk, result);
    }
    if (options.density) {
      quadratures.push_back(quadrature_of(options, group.dim, chunk));
    }
    for (const StoredTensor& stored : stored_tensors(options, result)) {
      if (stored.tensor->defined()) {
        *stored.tensor = stored.tensor->to(at::kCPU, at::kDouble);
      }
    }
    chunks.push_back(std::move(result));
  });
  GroupSpectrum spectrum = joined(options, chunks);
  if (options.density) {
    spectrum.density = pooled_density(group.dim, quadratures);
  }
  for (const StoredTensor& stored : stored_tensors(options, spectrum)) {
    *stored.tensor = stored.tensor->to(at::kCPU, at::kDouble).reshape(stored.spec.shape);
  }
  return spectrum;
}

}  // namespace hessian::experiments
