#include "train/probe.h"

#include <algorithm>
#include <stdexcept>
#include <string>

#include "probe/measurement.h"
#include "probe/solver.h"
#include "train/sharpness.h"

namespace hessian::experiments {
namespace {

ProbeOptions probe_options(const TrainConfig& config, at::Device device) {
  ProbeOptions options;
  options.model = config.model.name;
  options.layers = config.probe.layers;
  options.layers_option = "probe.layers";
  options.sites = parse_sites(config.probe.sites);
  options.sequences = config.probe.sequences;
  options.seq_len = config.data.seq_len;
  options.ends = parse_ends(config.probe.ends);
  options.tolerance = config.probe.tolerance;
  options.certify = config.probe.certify;
  options.certify_option = "probe.certify";
  options.confidence = config.probe.confidence;
  options.joint_sets = config.probe.every > 0 ? config.steps / config.probe.every + 2 : 1;  // also at start and end
  options.max_iterations = config.probe.max_iterations;
  options.dtype = parameter_dtype(config);
  options.device = config.device;
  options.engine = choose_engine({}, device);
  options.seed = held_out_seed;
  return options;
}

models::TokenBatch held_out(const Training& training, int64_t count, at::Device device) {
  models::TokenBatch batch = training.data().held_out(count, held_out_seed);
  batch.tokens = batch.tokens.to(device);
  batch.targets = batch.targets.to(device);
  return batch;
}

/// Returns the held-out sequences of the sharpness.
models::TokenBatch held_out_for_sharpness(const TrainConfig& config, const Training& training, at::Device device) {
  try {
    return held_out(training, sharpness_sequences(config), device);
  } catch (const std::runtime_error& error) {
    throw std::runtime_error(std::string(error.what()) + "; give a smaller probe.sharpness_sequences");
  }
}

/// Returns the current weights, detached from autograd.
models::Model frozen(const models::Forward& forward) {
  return {forward.config(), forward.parameters().detached()};
}

}  // namespace

TrainProbe::TrainProbe(const TrainConfig& config, const Training& training, at::Device device)
    : sharpness_(config.probe.sharpness),
      device_(device),
      options_(probe_options(config, device)),
      sequences_(held_out(training, config.probe.sequences, device)),
      sharpness_sequences_(sharpness_ ? held_out_for_sharpness(config, training, device) : models::TokenBatch{}),
      // A product takes several times the memory of an update's pass over as many sequences.
      sequences_at_once_(config.data.batch_size) {
  const ProbeSubject subject = subject_of(training);
  layout_ = probe_layout(options_, subject.forward.config(), subject.sequences());
  layout_.probes = 0;
}

ProbeSubject TrainProbe::subject_of(const Training& training) const {
  return {models::Forward(frozen(training.forward())), sequences_.tokens, sequences_.targets, training.step(), ""};
}

void TrainProbe::run(const Training& training, std::optional<TrainWriter>& writer) const {
  const ProbeSubject subject = subject_of(training);
  ProbeMeasurement measurement(options_, subject, device_, training.group());
  std::vector<ProbeRow> rows;
  for (std::size_t round = 0; round < measurement.rounds(); ++round) {
    for (ProbeRow& row : measurement.measure(round)) {
      rows.push_back(std::move(row));
    }
  }
  const auto& overflows = measurement.record().overflows;
  const bool overflowed =
      std::any_of(overflows.begin(), overflows.end(), [](const auto& found) { return found.has_value(); });
  std::vector<Sharpness> sharpness;
  if (sharpness_ && overflowed) {
    sharpness.assign(2, Sharpness::unknown());  // the loss is not the model's, or not finite
  } else if (sharpness_) {
    const models::Model model = frozen(training.forward());
    const SharpnessOptions options{.tolerance = options_.tolerance,
                                   .max_iterations = options_.max_iterations,
                                   .seed = options_.seed,
                                   .sequences_at_once = sequences_at_once_,
                                   .certificate = certificate_of(options_, 2)};
    sharpness.push_back(measure_sharpness(model, sharpness_sequences_, {}, options));
    const Preconditioner preconditioner = training.optimizer().preconditioner();
    // SGD has no preconditioner, nor has Adam before the first update.
    sharpness.push_back(preconditioner.empty()
                            ? Sharpness::unknown()
                            : measure_sharpness(model, sharpness_sequences_, preconditioner, options));
  }
  if (writer) {
    writer->write_probe(training.step(), measurement.losses(), rows, sharpness);
  }
}

}  // namespace hessian::experiments
