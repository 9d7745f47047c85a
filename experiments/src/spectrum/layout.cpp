#include "spectrum/layout.h"

#include <algorithm>
#include <span>
#include <stdexcept>
#include <utility>

namespace hessian::experiments {
namespace {

std::string units_of(const SpectrumOptions& options) {
  if (options.adam) {
    return "1";  // H and P are both in nats, because parameters have no unit
  }
  const bool fisher = options.matrix == CurvatureMatrix::fisher || options.matrix == CurvatureMatrix::mc_fisher;
  return fisher ? "nats^2" : "nats";
}

/// Returns the value of a member, and creates it if there is none.
template <class T>
T& engage(std::optional<T>& member) {
  return member ? *member : member.emplace();
}

/// Collects the datasets of one group.
class GroupLayout {
 public:
  GroupLayout(const SpectrumOptions& options, const SpectrumGroup& group)
      : options_(options), group_(group), units_(units_of(options)) {}

  void add_end(const std::string& end, const std::string& word, SpectrumEnd& pairs) {
    const Shape shape = {group_.problems, std::min(options_.top, group_.dim)};
    add("lambda_" + end, ElementType::float64, shape, units_, word + " eigenvalues", pairs.values);
    add("residual_" + end, ElementType::float64, shape, units_, "residual norm ||H v - lambda v|| of each",
        pairs.residuals);
    add("converged_" + end, ElementType::uint8, shape, "1", "1 where the tolerance was reached", pairs.converged);
    if (options_.vectors) {
      add("vectors_" + end, ElementType::float64, {shape[0], shape[1], group_.dim}, "1", "unit eigenvectors",
          pairs.vectors);
    }
  }

  void add_iterations(at::Tensor& iterations) {
    add("iterations", ElementType::int32, {group_.problems}, "products", "products of the eigensolver", iterations);
  }

  void add_estimate(const std::string& name, const std::string& units, const std::string& long_name, const Shape& shape,
                    Estimate& estimate) {
    add(name, ElementType::float64, shape, units, long_name, estimate.value);
    add(name + "_error", ElementType::float64, shape, units, "standard error of the " + name, estimate.standard_error);
  }

  void add_traces(GroupSpectrum& spectrum) {
    const Shape shape = {group_.problems};
    add_estimate("trace", units_, "trace", shape, engage(spectrum.trace));
    add_estimate("frobenius_norm", units_, "Frobenius norm", shape, engage(spectrum.frobenius_norm));
    add_estimate("effective_rank", "1", "participation ratio (tr H)^2 / tr H^2", shape,
                 engage(spectrum.effective_rank));
    add("effective_rank_determined", ElementType::uint8, shape, "1",
        "1 where the trace differs from zero by at least 2 standard errors", spectrum.effective_rank_determined);
  }

  void add_diagonal(Estimate& diagonal) {
    add_estimate("diagonal", units_, "diagonal", {group_.problems, group_.dim}, diagonal);
  }

  void add_density(SpectralDensity& density) {
    const int64_t samples = options_.samples * group_.problems;
    const int64_t steps = std::min(options_.steps, group_.dim);
    const auto point = [this](const std::string& name, const Shape& shape, const std::string& units,
                              const std::string& long_name, at::Tensor& tensor) {
      add_below("/density/", name, ElementType::float64, shape, units, long_name, tensor);
    };
    const std::string per_unit = "1/(" + units_ + ")";
    point("grid", {density_points}, units_, "eigenvalue", density.grid);
    point("density", {density_points}, per_unit, "share of eigenvalues per unit", density.density.value);
    point("density_error", {density_points}, per_unit, "standard error of the density over samples",
          density.density.standard_error);
    point("ritz_values", {samples, steps}, units_, "Ritz values of each sample", density.quadrature.nodes);
    point("ritz_weights", {samples, steps}, "1", "weight of each Ritz value", density.quadrature.weights);
    point("width", {1}, units_, "standard deviation of the Gaussian that stands for a Ritz value", density.width);
    point("zero_threshold", {1}, units_, "largest magnitude that counts as zero", density.zero_threshold);
    point("mass_near_zero", {1}, "1", "share of eigenvalues that count as zero", density.mass_near_zero.value);
    point("mass_near_zero_error", {1}, "1", "standard error of the mass near zero",
          density.mass_near_zero.standard_error);
  }

  std::vector<StoredTensor> take() { return std::move(tensors_); }

 private:
  void add(const std::string& name, ElementType type, const Shape& shape, const std::string& units,
           const std::string& long_name, at::Tensor& tensor) {
    add_below("/spectrum/", name, type, shape, units, long_name, tensor);
  }

  void add_below(const std::string& root, const std::string& name, ElementType type, const Shape& shape,
                 const std::string& units, const std::string& long_name, at::Tensor& tensor) {
    tensors_.push_back({name, {root + group_.name + "/" + name, type, shape, units, long_name}, &tensor});
  }

  const SpectrumOptions& options_;
  const SpectrumGroup& group_;
  std::string units_;
  std::vector<StoredTensor> tensors_;
};

/// Returns the path of a dataset about a group's matrices that is known before they are measured.
std::string path_in(const SpectrumGroup& group, const std::string& name) {
  return "/spectrum/" + group.name + "/" + name;
}

/// Returns whether results of a group have an entry per coordinate.
bool has_coordinates(const SpectrumOptions& options) {
  return options.vectors || options.diagonal;
}

std::string anatomy_path(const std::string& quantity) {
  return "/anatomy/" + quantity;
}

}  // namespace

std::vector<StoredTensor> stored_tensors(const SpectrumOptions& options, GroupSpectrum& spectrum) {
  GroupLayout layout(options, spectrum.group);
  if (options.top > 0) {
    layout.add_end("upper", "largest", engage(spectrum.upper));
    if (has_lower_end(options)) {
      layout.add_end("lower", "smallest", engage(spectrum.lower));
    }
    layout.add_iterations(spectrum.iterations);
  }
  if (options.trace) {
    layout.add_traces(spectrum);
  }
  if (options.diagonal) {
    layout.add_diagonal(engage(spectrum.diagonal));
  }
  if (options.density) {
    layout.add_density(engage(spectrum.density));
  }
  return layout.take();
}

std::vector<DatasetSpec> spectrum_datasets(const SpectrumOptions& options, const SpectrumGroup& group) {
  std::vector<DatasetSpec> specs = {
      {path_in(group, "entries"), ElementType::int64, {1}, "1", "size of the matrix of " + group.description}};
  if (group.adam) {
    specs.push_back({path_in(group, "clip_factor"),
                     ElementType::float64,
                     {1},
                     "1",
                     "mean factor by which gradients were clipped over the updates that Adam's diagonal remembers"});
    specs.push_back({path_in(group, "left_out"),
                     ElementType::int64,
                     {1},
                     "1",
                     "coordinates that no update has moved, which are left out"});
    if (has_coordinates(options)) {
      specs.push_back({path_in(group, "coordinates"),
                       ElementType::int64,
                       {group.dim},
                       "1",
                       "places of the matrix's rows among the entries of the parameters"});
    }
  }
  GroupSpectrum empty{group};
  for (StoredTensor& stored : stored_tensors(options, empty)) {
    specs.push_back(std::move(stored.spec));
  }
  return specs;
}

void write_entries(RunFileWriter& writer, const SpectrumOptions& options, const SpectrumGroup& group) {
  writer.write(path_in(group, "entries"), {0}, {1}, std::span<const int64_t>(&group.dim, 1));
  if (group.adam) {
    const AdamFactors& adam = *group.adam;
    writer.write(path_in(group, "clip_factor"), {0}, {1}, std::span<const double>(&adam.clip_factor, 1));
    writer.write(path_in(group, "left_out"), {0}, {1}, std::span<const int64_t>(&adam.left_out, 1));
    if (has_coordinates(options)) {
      writer.write(
          path_in(group, "coordinates"), {0}, {group.dim},
          std::span<const int64_t>(adam.coordinates.const_data_ptr<int64_t>(), static_cast<std::size_t>(group.dim)));
    }
  }
}

std::vector<StoredTensor> stored_tensors(MapAnatomy& anatomy, int64_t sequences) {
  std::vector<StoredTensor> tensors;
  const auto add = [&](const char* name, ElementType type, const char* units, const char* long_name,
                       at::Tensor& tensor) {
    tensors.push_back({name, {anatomy_path(name), type, {1, sequences}, units, long_name}, &tensor});
  };
  add("gain_norm", ElementType::float64, "nats", "spectral norm of the gain term J^T H_zz J", anatomy.gain_norm);
  add("gain_residual", ElementType::float64, "nats", "residual norm of that estimate", anatomy.gain_residual);
  add("curvature_norm", ElementType::float64, "nats", "spectral norm of the curvature term C", anatomy.curvature_norm);
  add("curvature_residual", ElementType::float64, "nats", "residual norm of that estimate", anatomy.curvature_residual);
  add("norm", ElementType::float64, "nats", "spectral norm of H_xx at the map, the sum of both terms", anatomy.norm);
  add("residual", ElementType::float64, "nats", "residual norm of that estimate", anatomy.residual);
  add("cosine", ElementType::float64, "1", "|cosine| of the angle between the dominant eigenvectors of both terms",
      anatomy.cosine);
  add("converged", ElementType::uint8, "1", "1 where all three reached the tolerance", anatomy.converged);
  return tensors;
}

std::vector<DatasetSpec> anatomy_datasets(const std::vector<LayerMap>& maps, int64_t sequences) {
  const auto count = static_cast<int64_t>(maps.size());
  std::size_t name_bytes = 1;
  for (const LayerMap& map : maps) {
    name_bytes = std::max(name_bytes, map.name.size());
  }
  std::vector<DatasetSpec> specs = {
      {anatomy_path("map"),
       ElementType::text,
       {count},
       "1",
       "weight of each linear map",
       static_cast<int64_t>(name_bytes)},
      {anatomy_path("layer"), ElementType::int64, {count}, "1", "layer of each linear map"},
      {anatomy_path("normalised"), ElementType::uint8, {count}, "1", "1 where a norm follows the map"}};
  MapAnatomy empty;
  for (StoredTensor& stored : stored_tensors(empty, sequences)) {
    stored.spec.shape.front() = count;
    specs.push_back(std::move(stored.spec));
  }
  return specs;
}

void write_maps(RunFileWriter& writer, const std::vector<LayerMap>& maps) {
  const Shape all = {static_cast<int64_t>(maps.size())};
  std::vector<std::string> names;
  std::vector<int64_t> layers;
  std::vector<uint8_t> normalised;
  for (const LayerMap& map : maps) {
    names.push_back(map.name);
    layers.push_back(map.layer);
    normalised.push_back(map.normalised ? 1 : 0);
  }
  writer.write(anatomy_path("map"), {0}, all, names);
  writer.write(anatomy_path("layer"), {0}, all, layers);
  writer.write(anatomy_path("normalised"), {0}, all, normalised);
}

bool has_lower_end(const SpectrumOptions& options) {
  return options.matrix == CurvatureMatrix::hessian || options.matrix == CurvatureMatrix::fd_hessian;
}

void write_tensors(RunFileWriter& writer, const std::vector<StoredTensor>& tensors, int64_t first_row) {
  for (const StoredTensor& stored : tensors) {
    const DatasetSpec& spec = stored.spec;
    Shape offset(spec.shape.size(), 0);
    offset.front() = first_row;
    const auto write = [&]<class T>(T, at::ScalarType type) {
      const at::Tensor values = stored.tensor->to(at::kCPU, type).contiguous();
      writer.write(spec.path, offset, spec.shape,
                   std::span<const T>(values.const_data_ptr<T>(), static_cast<std::size_t>(values.numel())));
    };
    switch (spec.type) {
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
        throw std::logic_error(spec.path + ": tensors are not stored as this type");
    }
  }
}

}  // namespace hessian::experiments
