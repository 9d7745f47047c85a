#include "experiments/probe.h"

#include <algorithm>
#include <map>
#include <random>
#include <stdexcept>

#include "experiments/output_file.h"
#include "hessian/device.h"
#include "hessian/memory.h"
#include "models/token_stream.h"
#include "probe_check.h"
#include "probe_solver.h"
#include "probe_subject.h"
#include "probe_writer.h"

namespace experiments {
namespace {

template <class T>
std::vector<T> to_vector(const at::Tensor& tensor, at::ScalarType dtype) {
  const at::Tensor values = tensor.to(at::kCPU, dtype).contiguous();
  return {values.data_ptr<T>(), values.data_ptr<T>() + values.numel()};
}

at::Device choose_device(const std::string& word) {
  try {
    return hessian::select_device(word);
  } catch (const std::invalid_argument& error) {
    throw std::invalid_argument(std::string("--device ") + error.what());
  } catch (const std::runtime_error& error) {
    throw std::runtime_error("--device " + word + ": " + error.what() + "; --device cpu works everywhere");
  }
}

/// The layers asked for that each site has.
ProbeLayoutOptions layout_of(const ProbeOptions& options, const ProbeSubject& subject,
                             const std::vector<int64_t>& layers) {
  ProbeLayoutOptions layout;
  layout.sequences = subject.sequences();
  layout.check = options.check;
  layout.token_position = options.unit == Unit::token;
  for (const models::Site site : options.sites) {
    ProbedSite probed{models::to_string(site), {}};
    std::copy_if(layers.begin(), layers.end(), std::back_inserter(probed.layers),
                 [&](int64_t layer) { return layer < models::site_layers(subject.forward.config(), site); });
    if (probed.layers.empty()) {
      throw std::invalid_argument("--layer '" + options.layers + "' names no layer that has the site " + probed.name +
                                  ", which layers 0 to " +
                                  std::to_string(models::site_layers(subject.forward.config(), site) - 1) + " have");
    }
    layout.sites.push_back(std::move(probed));
  }
  return layout;
}

/// A position of each sequence, drawn by the seed.
std::vector<int64_t> draw_positions(const ProbeOptions& options, const ProbeSubject& subject) {
  std::mt19937_64 generator(options.seed);
  std::vector<int64_t> positions;
  for (int64_t i = 0; i < subject.sequences(); ++i) {
    positions.push_back(
        static_cast<int64_t>(models::bounded_draw(generator, static_cast<uint64_t>(subject.seq_len()))));
  }
  return positions;
}

void fill(ProbeRow& row, const hessian::ExtremalEigenvalues& eigenvalues) {
  row.spectral_norm = to_vector<double>(eigenvalues.spectral_norm(), at::kDouble);
  row.lambda_max = to_vector<double>(eigenvalues.lambda_max, at::kDouble);
  row.lambda_min = to_vector<double>(eigenvalues.lambda_min, at::kDouble);
  row.residual_norm = to_vector<double>(eigenvalues.residual_norm(), at::kDouble);
  row.iterations = to_vector<int32_t>(eigenvalues.iterations, at::kInt);
  row.converged = to_vector<uint8_t>(eigenvalues.converged, at::kByte);
}

/// A site of a layer, to be probed.
struct Target {
  models::Site site;
  int64_t layer;
};

std::vector<Target> targets_of(const ProbeOptions& options, const ProbeSubject& subject,
                               const std::vector<int64_t>& layers) {
  std::vector<Target> targets;
  for (const int64_t layer : layers) {
    for (const models::Site site : options.sites) {
      if (layer < models::site_layers(subject.forward.config(), site)) {
        targets.push_back({site, layer});
      }
    }
  }
  return targets;
}

/// The losses of the sequences as a function of the activation, and the activation.
struct Problem {
  hessian::BlockFunction losses;
  at::Tensor x;
};

Problem problem_at(const ProbeOptions& options, const ProbeSubject& subject, const ForwardRecord& record,
                   const Target& target) {
  const at::Tensor& residual = record.residuals.at(target.layer);
  const at::Tensor activation = site_activation(subject.forward, target.site, target.layer, residual);
  // Eigenvectors need more digits than bfloat16 has.
  return {site_losses(subject.forward, target.site, target.layer, residual, subject.targets),
          activation.to(options.dtype == at::kDouble ? at::kDouble : at::kFloat)};
}

}  // namespace

ProbeReport run_probe(const ProbeOptions& options, const Progress& progress) {
  const hessian::MemoryScope memory;
  const at::Device device = choose_device(options.device);
  ensure_writable_output(options.out, options.overwrite);
  const ProbeSubject subject = load_subject(options, device);
  const auto layers = parse_layers(options.layers, subject.forward.config().n_layers);
  const ProbeLayoutOptions layout = layout_of(options, subject, layers);
  ForwardRecord record = record_forward(subject, layers);
  const auto positions = draw_positions(options, subject);

  // Before the run file is made, so that a refusal leaves none. A later layer differentiates through fewer blocks: what
  // fits at a site's first layer fits at all of them.
  std::map<models::Site, MemoryPlan> plans;
  const auto targets = targets_of(options, subject, layers);
  for (const Target& target : targets) {
    if (!plans.contains(target.site)) {
      const Problem problem = problem_at(options, subject, record, target);
      plans[target.site] = plan_memory(options, device, problem.losses, problem.x);
    }
  }

  ProbeReport report;
  report.model_description = subject.description;
  report.device = hessian::describe_device(device);
  report.step = subject.step;
  report.sequences = subject.sequences();
  report.seq_len = subject.seq_len();
  report.losses = record.losses;
  ProbeOptions resolved = options;
  resolved.seq_len = subject.seq_len();
  ProbeWriter writer(resolved, subject.forward.config(), report.device, layout);
  writer.write_overview(report.step, report.losses, positions);

  std::optional<ProductCheck> check;
  if (options.check) {
    check.emplace(subject, layers, options.seed);
  }
  for (const Target& target : targets) {
    const Problem problem = problem_at(options, subject, record, target);
    ProbeRow row;
    row.site = target.site;
    row.layer = target.layer;
    fill(row, solve(options, plans.at(target.site), problem.losses, problem.x, positions));
    row.scale = record.activation_scales.at({target.site, target.layer}).scale();
    if (check) {
      row.check_relative_difference = check->relative_difference(target.site, target.layer);
    }
    writer.write_row(row);
    report.rows.push_back(std::move(row));
    if (progress) {
      progress(static_cast<int64_t>(report.rows.size()), static_cast<int64_t>(targets.size()));
    }
  }
  report.peak_memory_bytes = memory.peak_bytes();
  writer.finish(report.peak_memory_bytes);
  return report;
}

}  // namespace experiments
