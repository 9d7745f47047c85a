#include "spectrum/layout.h"

#include <algorithm>
#include <span>
#include <stdexcept>

namespace hessian::experiments {
namespace {

void add_ends(const SpectrumOptions& options, const SpectrumGroup& group, std::vector<DatasetSpec>& specs) {
  const int64_t count = std::min(options.top, group.dim);
  const std::string units = units_of(options);
  for (const std::string& end : ends_of(options)) {
    const std::string word = end == "upper" ? "largest" : "smallest";
    const auto path = [&](const std::string& quantity) { return spectrum_path(group, quantity + "_" + end); };
    specs.push_back({path("lambda"), ElementType::float64, {group.blocks, count}, units, word + " eigenvalues"});
    specs.push_back({path("residual"),
                     ElementType::float64,
                     {group.blocks, count},
                     units,
                     "residual norm ||H v - lambda v|| of each"});
    specs.push_back(
        {path("converged"), ElementType::uint8, {group.blocks, count}, "1", "1 where the tolerance was reached"});
    if (options.vectors) {
      specs.push_back(
          {path("vectors"), ElementType::float64, {group.blocks, count, group.dim}, "1", "unit eigenvectors"});
    }
  }
  specs.push_back({spectrum_path(group, "iterations"),
                   ElementType::int32,
                   {group.blocks},
                   "products",
                   "products of the eigensolver"});
}

void add_estimate(const SpectrumGroup& group, const std::string& name, const std::string& units,
                  const std::string& long_name, const Shape& shape, std::vector<DatasetSpec>& specs) {
  specs.push_back({spectrum_path(group, name), ElementType::float64, shape, units, long_name});
  specs.push_back(
      {spectrum_path(group, name + "_error"), ElementType::float64, shape, units, "standard error of the " + name});
}

void add_density(const SpectrumOptions& options, const SpectrumGroup& group, std::vector<DatasetSpec>& specs) {
  const std::string units = units_of(options);
  const int64_t probes = options.samples * group.blocks;
  const int64_t steps = std::min(options.steps, group.dim);
  const auto add = [&](const std::string& name, const Shape& shape, const std::string& unit,
                       const std::string& long_name) {
    specs.push_back({density_path(group, name), ElementType::float64, shape, unit, long_name});
  };
  add("grid", {density_points}, units, "eigenvalue");
  add("density", {density_points}, "1/(" + units + ")", "share of eigenvalues a unit");
  add("density_error", {density_points}, "1/(" + units + ")", "standard error of the density over probes");
  add("ritz_values", {probes, steps}, units, "Ritz values of each probe");
  add("ritz_weights", {probes, steps}, "1", "weight of each Ritz value");
  add("width", {1}, units, "standard deviation of the Gaussian that stands for a Ritz value");
  add("zero_threshold", {1}, units, "largest magnitude that counts as zero");
  add("mass_near_zero", {1}, "1", "share of eigenvalues that count as zero");
  add("mass_near_zero_error", {1}, "1", "standard error of the mass near zero");
}

}  // namespace

std::string spectrum_path(const SpectrumGroup& group, const std::string& quantity) {
  return "/spectrum/" + group.name + "/" + quantity;
}

std::string density_path(const SpectrumGroup& group, const std::string& quantity) {
  return "/density/" + group.name + "/" + quantity;
}

std::string anatomy_path(const std::string& quantity) {
  return "/anatomy/" + quantity;
}

std::vector<std::string> ends_of(const SpectrumOptions& options) {
  const bool indefinite = options.matrix == CurvatureMatrix::hessian || options.matrix == CurvatureMatrix::fd_hessian;
  return indefinite ? std::vector<std::string>{"upper", "lower"} : std::vector<std::string>{"upper"};
}

std::string units_of(const SpectrumOptions& options) {
  if (options.adam) {
    return "1";  // a step's size in the geometry of P has the unit of a parameter, which is none, over the gradient's
  }
  const bool fisher = options.matrix == CurvatureMatrix::fisher || options.matrix == CurvatureMatrix::mc_fisher;
  return fisher ? "nats^2" : "nats";
}

std::vector<DatasetSpec> spectrum_datasets(const SpectrumOptions& options, const SpectrumGroup& group) {
  const std::string units = units_of(options);
  std::vector<DatasetSpec> specs = {
      {spectrum_path(group, "entries"), ElementType::int64, {1}, "1", "size of the matrix of " + group.description}};
  if (options.top > 0) {
    add_ends(options, group, specs);
  }
  if (options.trace) {
    const Shape shape = {group.blocks};
    add_estimate(group, "trace", units, "trace", shape, specs);
    add_estimate(group, "frobenius_norm", units, "Frobenius norm", shape, specs);
    add_estimate(group, "effective_rank", "1", "participation ratio (tr H)^2 / tr H^2", shape, specs);
  }
  if (options.diagonal) {
    add_estimate(group, "diagonal", units, "diagonal", {group.blocks, group.dim}, specs);
  }
  if (options.density) {
    add_density(options, group, specs);
  }
  return specs;
}

std::vector<DatasetSpec> anatomy_datasets(int64_t maps, int64_t sequences, int64_t name_bytes) {
  std::vector<DatasetSpec> specs = {
      {anatomy_path("map"), ElementType::text, {maps}, "1", "weight of each linear map", name_bytes},
      {anatomy_path("layer"), ElementType::int64, {maps}, "1", "block index of each linear map"},
      {anatomy_path("normalised"), ElementType::uint8, {maps}, "1", "1 where a norm follows the map"}};
  const auto add = [&](const char* name, ElementType type, const char* units, const char* long_name) {
    specs.push_back({anatomy_path(name), type, {maps, sequences}, units, long_name});
  };
  add("gain_norm", ElementType::float64, "nats", "spectral norm of the gain term J^T H_zz J");
  add("gain_residual", ElementType::float64, "nats", "residual norm of that estimate");
  add("curvature_norm", ElementType::float64, "nats", "spectral norm of the curvature term C");
  add("curvature_residual", ElementType::float64, "nats", "residual norm of that estimate");
  add("norm", ElementType::float64, "nats", "spectral norm of H_xx at the map, the sum of both terms");
  add("residual", ElementType::float64, "nats", "residual norm of that estimate");
  add("cosine", ElementType::float64, "1", "|cosine| of the angle between the dominant eigenvectors of both terms");
  add("converged", ElementType::uint8, "1", "1 where all three reached the tolerance");
  return specs;
}

void write_numbers(RunFileWriter& writer, const std::vector<DatasetSpec>& specs, const Numbers& numbers,
                   int64_t first_row) {
  for (const DatasetSpec& spec : specs) {
    const auto found = numbers.find(spec.path);
    if (found == numbers.end()) {
      continue;
    }
    Shape offset(spec.shape.size(), 0);
    offset.front() = first_row;
    const auto write = [&]<class T>(T, at::ScalarType type) {
      const at::Tensor values = found->second.to(at::kCPU, type).contiguous();
      writer.write(spec.path, offset, spec.shape,
                   std::span<const T>(values.const_data_ptr<T>(), static_cast<std::size_t>(values.numel())));
    };
    switch (spec.type) {
      case ElementType::int64:
        write(int64_t{}, at::kLong);
        break;
      case ElementType::int32:
        write(int32_t{}, at::kInt);
        break;
      case ElementType::uint8:
        write(uint8_t{}, at::kByte);
        break;
      case ElementType::float64:
        write(double{}, at::kDouble);
        break;
      default:
        throw std::logic_error(spec.path + " holds no numbers");
    }
  }
}

}  // namespace hessian::experiments
