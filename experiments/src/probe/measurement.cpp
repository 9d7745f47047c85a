#include "probe/measurement.h"

#include <algorithm>
#include <random>
#include <stdexcept>
#include <utility>

#include "probe/problem.h"
#include "probe/solver.h"
#include "tokens/token_stream.h"

namespace hessian::experiments {
namespace {

template <class T>
std::vector<T> to_vector(const at::Tensor& tensor, at::ScalarType dtype) {
  const at::Tensor values = tensor.to(at::kCPU, dtype).contiguous();
  return {values.data_ptr<T>(), values.data_ptr<T>() + values.numel()};
}

/// Copies the results of consecutive sequences into a row of all sequences, starting at sequence `first`.
void fill(ProbeRow& row, int64_t first, const ExtremalEigenvalues& eigenvalues) {
  const auto put = [first]<class T>(std::vector<T>& into, const at::Tensor& numbers, at::ScalarType dtype) {
    const std::vector<T> values = to_vector<T>(numbers, dtype);
    std::copy(values.begin(), values.end(), into.begin() + first);
  };
  put(row.spectral_norm, eigenvalues.spectral_norm(), at::kDouble);
  put(row.lambda_max, eigenvalues.lambda_max, at::kDouble);
  put(row.lambda_min, eigenvalues.lambda_min, at::kDouble);
  put(row.norm_upper, eigenvalues.norm_upper(), at::kDouble);
  put(row.lambda_max_upper, eigenvalues.lambda_max_upper, at::kDouble);
  put(row.lambda_min_lower, eigenvalues.lambda_min_lower, at::kDouble);
  put(row.residual_norm, eigenvalues.residual_norm(), at::kDouble);
  put(row.asymmetry, eigenvalues.asymmetry, at::kDouble);
  put(row.iterations, eigenvalues.iterations, at::kInt);
  put(row.converged, eigenvalues.converged, at::kByte);
}

/// Returns the number of norms that one probe measures.
int64_t count_norms(const ProbeLayoutOptions& layout) {
  std::size_t rows = 0;
  for (const ProbedSite& site : layout.sites) {
    rows += site.layers.size();
  }
  return static_cast<int64_t>(rows) * layout.sequences;
}

}  // namespace

std::vector<int64_t> draw_positions(const ProbeOptions& options, const ProbeSubject& subject) {
  std::mt19937_64 generator(options.seed);
  std::vector<int64_t> positions;
  for (int64_t i = 0; i < subject.sequences(); ++i) {
    positions.push_back(
        static_cast<int64_t>(models::bounded_draw(generator, static_cast<uint64_t>(subject.seq_len()))));
  }
  return positions;
}

ProbeLayoutOptions probe_layout(const ProbeOptions& options, const models::GptConfig& config, int64_t sequences) {
  ProbeLayoutOptions layout;
  layout.sequences = sequences;
  layout.check = options.check;
  layout.both_ends = options.ends == Ends::both;
  layout.certify = options.certify;
  layout.confidence = options.confidence;
  layout.token_position = options.unit == Unit::token;
  const auto layers = parse_layers(options.layers, config.n_layers, options.layers_option);
  for (const models::Site site : options.sites) {
    const int64_t count = models::site_layers(config, site);
    ProbedSite probed{models::to_string(site), {}};
    std::copy_if(layers.begin(), layers.end(), std::back_inserter(probed.layers),
                 [count](int64_t layer) { return layer < count; });
    if (probed.layers.empty()) {
      throw std::invalid_argument(options.layers_option + " '" + options.layers + "' has no layer with the site " +
                                  probed.name + "; layers 0 to " + std::to_string(count - 1) + " have it");
    }
    layout.sites.push_back(std::move(probed));
  }
  return layout;
}

HeldMemory held_memory(const ProbeSubject& subject, const ForwardRecord& record) {
  HeldMemory held{subject.streamed ? 0 : subject.weight_bytes, subject.streamed,
                  subject.streamed ? subject.weight_bytes : 0};
  for (const auto& [layer, residual] : record.residuals) {
    held.bytes += static_cast<int64_t>(residual.nbytes());
  }
  return held;
}

ProbeMeasurement::ProbeMeasurement(ProbeOptions options, ProbeSubject subject, at::Device device,
                                   const ProcessGroup& group)
    : options_(std::move(options)),
      subject_(std::move(subject)),
      process_group_(group),
      share_(probe_share(group, subject_.sequences())),
      layers_(parse_layers(options_.layers, subject_.forward.config().n_layers, options_.layers_option)),
      layout_(probe_layout(options_, subject_.forward.config(), subject_.sequences())),
      record_(record_forward(subject_, layers_)),
      positions_(draw_positions(options_, subject_)),
      certificate_(certificate_of(options_, count_norms(layout_))) {
  plan(device);
  if (options_.check) {
    check_.emplace(subject_, layers_, options_.engine.value(), options_.seed);
  }
}

void ProbeMeasurement::plan(at::Device device) {
  const ComputeMemory memory = compute_memory(device, process_group_.place());
  const HeldMemory held = held_memory(subject_, record_);
  // A later layer differentiates through fewer layers: what fits at a site's first layers fits at all of them.
  for (const ProbedSite& probed : layout_.sites) {
    const models::Site site = models::parse_site(probed.name);
    const std::vector<int64_t>& there = probed.layers;
    const ProblemOf first_layers = [&](int64_t count, int64_t positions) {
      const at::Tensor residual = record_.residuals.at(there.front());
      return probe_problem(options_.engine.value(), subject_.forward, site, {there.begin(), there.begin() + count},
                           residual.narrow(1, 0, positions), subject_.targets.narrow(1, 0, positions));
    };
    const auto layers = static_cast<int64_t>(there.size());
    // Limits the layers of a group so that every process gets a group.
    const int64_t max_layers = (layers + share_.group_stride - 1) / share_.group_stride;
    const MemoryPlan plan =
        plan_memory(options_, memory, max_layers, share_.sequences.count, subject_.seq_len(), first_layers, held);
    plans_[site] = plan;
    for (std::size_t first = 0; first < there.size(); first += static_cast<std::size_t>(plan.layers_at_once)) {
      const std::size_t end = std::min(there.size(), first + static_cast<std::size_t>(plan.layers_at_once));
      groups_.push_back(
          {site,
           {there.begin() + static_cast<std::ptrdiff_t>(first), there.begin() + static_cast<std::ptrdiff_t>(end)}});
    }
  }
}

ProbeProblem ProbeMeasurement::problem_at(const Group& group) const {
  const auto own = [this](const at::Tensor& all) {
    return all.narrow(0, share_.sequences.first, share_.sequences.count);
  };
  ProbeProblem problem = probe_problem(options_.engine.value(), subject_.forward, group.site, group.layers,
                                       own(record_.residuals.at(group.layers.front())), own(subject_.targets));
  problem.first_sequence = share_.sequences.first;
  return problem;
}

bool ProbeMeasurement::measures(std::size_t group) const {
  return group % static_cast<std::size_t>(share_.group_stride) == static_cast<std::size_t>(share_.first_group);
}

std::size_t ProbeMeasurement::rounds() const {
  const auto stride = static_cast<std::size_t>(share_.group_stride);
  return (groups_.size() + stride - 1) / stride;
}

std::size_t ProbeMeasurement::rows() const {
  std::size_t count = 0;
  for (const Group& group : groups_) {
    count += group.layers.size();
  }
  return count;
}

void ProbeMeasurement::measure_share(const Group& group, std::span<ProbeRow> rows) const {
  const auto first_overflow = record_.overflows.begin() + share_.sequences.first;
  if (std::all_of(first_overflow, first_overflow + share_.sequences.count,
                  [](const auto& overflow) { return overflow.has_value(); })) {
    forget_overflows(rows);  // saves all products
    return;
  }
  const auto begin = positions_.begin() + share_.sequences.first;
  const auto eigenvalues =
      solve(options_, plans_.at(group.site), problem_at(group), {begin, begin + share_.sequences.count}, certificate_);
  for (std::size_t i = 0; i < rows.size(); ++i) {
    fill(rows[i], share_.sequences.first, eigenvalues[i]);
    if (check_ && share_.sequences.first == 0) {
      const int64_t layer = group.layers[i];
      rows[i].check = check_->differences(group.site, layer, subject_, record_.residuals.at(layer));
    }
  }
  forget_overflows(rows);
}

void ProbeMeasurement::forget_overflows(std::span<ProbeRow> rows) const {
  for (int64_t i = share_.sequences.first; i < share_.sequences.first + share_.sequences.count; ++i) {
    const auto sequence = static_cast<std::size_t>(i);
    if (record_.overflows[sequence]) {
      std::for_each(rows.begin(), rows.end(), [sequence](ProbeRow& row) { forget_sequence(row, sequence); });
    }
  }
}

std::vector<ProbeRow> ProbeMeasurement::measure(std::size_t round) {
  const auto stride = static_cast<std::size_t>(share_.group_stride);
  const std::size_t end = std::min(groups_.size(), (round + 1) * stride);
  std::vector<ProbeRow> rows;
  for (std::size_t index = round * stride; index < end; ++index) {
    const Group& group = groups_.at(index);
    const std::size_t first = rows.size();
    for (const int64_t layer : group.layers) {
      rows.push_back(empty_row(group.site, layer, subject_.sequences(), check_.has_value()));
      rows.back().scale = record_.activation_scales.at({group.site, layer}).scale();
    }
    if (measures(index)) {
      measure_share(group, std::span(rows).subspan(first));
    }
  }
  merge_rows(process_group_, rows);
  return rows;
}

std::vector<std::string> ProbeMeasurement::plan_lines() const {
  std::vector<std::string> lines;
  for (const models::Site site : options_.sites) {
    lines.push_back(describe(plans_.at(site), site));
  }
  return lines;
}

std::optional<int64_t> ProbeMeasurement::planned_bytes() const {
  std::optional<int64_t> peak;
  for (const auto& [site, plan] : plans_) {
    if (plan.predicted_bytes) {
      peak = std::max(peak.value_or(0), *plan.predicted_bytes);
    }
  }
  return peak;
}

std::optional<TimePlan> ProbeMeasurement::planned_time() const {
  TimePlan time = time_plan(options_);
  const auto layers_from = [this](int64_t layer) {
    return static_cast<double>(subject_.forward.config().n_layers + 1 - layer);
  };
  for (std::size_t index = 0; index < groups_.size(); ++index) {
    const Group& group = groups_[index];
    const MemoryPlan& plan = plans_.at(group.site);
    if (!plan.product_seconds) {
      return std::nullopt;
    }
    if (measures(index)) {
      const auto first = std::find_if(groups_.begin(), groups_.end(),
                                      [&group](const Group& other) { return other.site == group.site; });
      // The cost of a product grows with the layers that remain, and with the vectors of all layers and sequences.
      time.add_products(*plan.product_seconds * layers_from(group.layers.front()) / layers_from(first->layers.front()) *
                        static_cast<double>(group.layers.size()) / static_cast<double>(plan.layers_at_once) *
                        static_cast<double>(share_.sequences.count) / static_cast<double>(plan.sequences_at_once));
    }
  }
  return time;
}

}  // namespace hessian::experiments
