#include "spectrum/estimates.h"

#include <algorithm>
#include <utility>

#include "hessian/diagonal.h"
#include "hessian/norms.h"
#include "hessian/spectral_density.h"
#include "hessian/top_eigenpairs.h"
#include "hessian/trace.h"
#include "spectrum/layout.h"

namespace hessian::experiments {
namespace {

/// Numbers of parts, [S, ...] each, that are put together along the blocks.
class Gatherer {
 public:
  void add(const std::string& path, const at::Tensor& numbers) {
    parts_[path].push_back(numbers.to(at::kCPU, at::kDouble));
  }

  Numbers joined() const {
    Numbers numbers;
    for (const auto& [path, parts] : parts_) {
      numbers[path] = at::cat(parts, 0);
    }
    return numbers;
  }

 private:
  std::map<std::string, std::vector<at::Tensor>> parts_;
};

void find_ends(const SpectrumOptions& options, const SpectrumGroup& group, int64_t max_basis, const GroupPart& part,
               Gatherer& found) {
  hessian::TopEigenpairsOptions top;
  top.count = std::min(options.top, group.dim);
  top.block_width = std::min(options.block_width, group.dim);
  top.max_basis = std::min(max_basis, group.dim);
  top.tolerance = options.probe.tolerance;
  top.max_iterations = options.probe.max_iterations;
  top.seed = options.probe.seed;
  top.problem_numbers = part.problem_numbers;
  const std::vector<std::string> ends = ends_of(options);
  top.ends = ends.size() == 2 ? hessian::Ends::both : hessian::Ends::upper;
  const hessian::TopEigenpairs pairs = hessian::top_eigenpairs(*part.op, top);
  int64_t first = 0;
  for (const std::string& end : ends) {
    const auto add = [&](const std::string& quantity, const at::Tensor& all) {
      found.add(spectrum_path(group, quantity + "_" + end), all.narrow(1, first, top.count));
    };
    add("lambda", pairs.values);
    add("residual", pairs.residuals);
    add("converged", pairs.converged);
    if (options.vectors) {
      add("vectors", pairs.vectors);
    }
    first += top.count;
  }
  found.add(spectrum_path(group, "iterations"), pairs.iterations);
}

void add_estimate(const SpectrumGroup& group, const std::string& name, const hessian::Estimate& estimate,
                  Gatherer& found) {
  found.add(spectrum_path(group, name), estimate.value);
  found.add(spectrum_path(group, name + "_error"), estimate.standard_error);
}

void estimate_traces(const SpectrumOptions& options, const SpectrumGroup& group, const hessian::SampleOptions& samples,
                     const GroupPart& part, Gatherer& found) {
  if (options.trace_method == TraceMethod::hutchinson) {
    add_estimate(group, "trace", hessian::hutchinson_trace(*part.op, samples), found);
  } else {
    hessian::HutchPlusPlusOptions plus;
    plus.seed = samples.seed;
    plus.problem_numbers = samples.problem_numbers;
    plus.products = std::max<int64_t>(6, samples.samples);
    add_estimate(group, "trace", hessian::hutch_plus_plus_trace(*part.op, plus), found);
  }
  add_estimate(group, "frobenius_norm", hessian::frobenius_norm(*part.op, samples), found);
  add_estimate(group, "effective_rank", hessian::participation_ratio(*part.op, samples), found);
}

/// The mean density of all blocks: their probes are probes of one matrix that has all blocks' eigenvalues.
Numbers pooled_density(const SpectrumGroup& group, const std::vector<hessian::SpectralQuadrature>& parts) {
  std::vector<at::Tensor> nodes;
  std::vector<at::Tensor> weights;
  for (const hessian::SpectralQuadrature& part : parts) {
    nodes.push_back(part.nodes.flatten(0, 1));
    weights.push_back(part.weights.flatten(0, 1));
  }
  hessian::SpectralQuadrature all;
  all.nodes = at::cat(nodes).unsqueeze(0);
  all.weights = at::cat(weights).unsqueeze(0);
  all.dim = group.dim;
  hessian::DensityOptions options;
  options.grid_points = density_points;
  const hessian::SpectralDensity density = hessian::spectral_density(std::move(all), options);
  return {{density_path(group, "grid"), density.grid.squeeze(0)},
          {density_path(group, "density"), density.density.value.squeeze(0)},
          {density_path(group, "density_error"), density.density.standard_error.squeeze(0)},
          {density_path(group, "ritz_values"), density.quadrature.nodes.squeeze(0)},
          {density_path(group, "ritz_weights"), density.quadrature.weights.squeeze(0)},
          {density_path(group, "width"), density.width},
          {density_path(group, "zero_threshold"), density.zero_threshold},
          {density_path(group, "mass_near_zero"), density.mass_near_zero.value},
          {density_path(group, "mass_near_zero_error"), density.mass_near_zero.standard_error}};
}

}  // namespace

Numbers estimate_group(const SpectrumOptions& options, const SpectrumGroup& group, int64_t max_basis,
                       const std::function<void(const std::function<void(const GroupPart&)>&)>& for_each_part) {
  Gatherer found;
  std::vector<hessian::SpectralQuadrature> quadratures;
  for_each_part([&](const GroupPart& part) {
    hessian::SampleOptions samples;
    samples.seed = options.probe.seed;
    samples.problem_numbers = part.problem_numbers;
    samples.samples = 4 * options.samples;
    if (options.top > 0) {
      find_ends(options, group, max_basis, part, found);
    }
    if (options.trace) {
      estimate_traces(options, group, samples, part, found);
    }
    if (options.diagonal) {
      add_estimate(group, "diagonal", hessian::estimate_diagonal(*part.op, samples), found);
    }
    if (options.density) {
      hessian::QuadratureOptions quadrature;
      quadrature.seed = options.probe.seed;
      quadrature.problem_numbers = part.problem_numbers;
      quadrature.samples = options.samples;
      quadrature.steps = std::min(options.steps, group.dim);
      quadratures.push_back(hessian::spectral_quadrature(*part.op, quadrature));
    }
  });
  Numbers numbers = found.joined();
  if (options.density) {
    numbers.merge(pooled_density(group, quadratures));
  }
  numbers[spectrum_path(group, "entries")] = at::full({1}, static_cast<double>(group.dim), at::kDouble);
  return numbers;
}

}  // namespace hessian::experiments
