#include "probe_subject.h"

#include <c10/core/GradMode.h>

#include <algorithm>
#include <stdexcept>
#include <utility>

#include "models/checkpoint.h"
#include "models/named_models.h"
#include "models/token_data.h"

namespace experiments {
namespace {

models::LoadedCheckpoint load_model(const ProbeOptions& options) {
  if (!models::is_model_name(options.model)) {
    if (options.vocab_size) {
      throw std::invalid_argument("--vocab-size is for fresh models (new:...); " + options.model + " has its own");
    }
    return models::load_checkpoint(options.model);
  }
  try {
    const models::GptConfig config = models::parse_model_name(options.model, options.vocab_size);
    return {models::initialise_model(config, options.seed), 0, "fresh " + options.model.substr(4)};
  } catch (const std::runtime_error& error) {
    throw std::invalid_argument(error.what());
  }
}

models::TokenBatch load_batch(const ProbeOptions& options, const models::GptConfig& config) {
  models::DataOptions data;
  data.source = options.data;
  data.sequences = options.sequences;
  data.seq_len = options.seq_len;
  data.max_seq_len = config.max_seq_len;
  data.seed = options.seed;
  data.vocab_size = config.vocab_size;
  data.accept_larger_vocab = models::is_model_name(options.model);
  if (data.seq_len > config.max_seq_len) {
    throw std::invalid_argument("--seq-len " + std::to_string(data.seq_len) + " is longer than the " +
                                std::to_string(config.max_seq_len) + " positions of " + options.model);
  }
  models::TokenBatch batch = models::load_token_batch(data);
  if (batch.tokens.size(1) > config.max_seq_len) {
    throw std::runtime_error(options.data + ": sequences of " + std::to_string(batch.tokens.size(1)) +
                             " tokens are longer than the " + std::to_string(config.max_seq_len) + " positions of " +
                             options.model + "; give --seq-len " + std::to_string(config.max_seq_len));
  }
  return batch;
}

}  // namespace

ProbeSubject load_subject(const ProbeOptions& options, at::Device device) {
  models::LoadedCheckpoint checkpoint = load_model(options);
  const models::TokenBatch batch = load_batch(options, checkpoint.model.config);
  checkpoint.model.parameters = checkpoint.model.parameters.to(device, options.dtype);
  return {models::Forward(checkpoint.model), batch.tokens.to(device), batch.targets.to(device),
          checkpoint.training_step, checkpoint.description};
}

ForwardRecord record_forward(const ProbeSubject& subject, const std::vector<int64_t>& layers) {
  const c10::NoGradGuard no_grad;
  ForwardRecord record;
  std::map<int64_t, std::vector<at::Tensor>> residuals;
  const auto wanted = [&layers](int64_t layer) {
    return std::find(layers.begin(), layers.end(), layer) != layers.end();
  };
  const models::Forward& forward = subject.forward;
  for (int64_t sequence = 0; sequence < subject.sequences(); ++sequence) {
    at::Tensor x = forward.embed(subject.tokens.narrow(0, sequence, 1));
    for (int64_t layer = 0; layer <= forward.config().n_layers; ++layer) {
      record.activation_scales[{models::Site::residual, layer}].add(x);
      if (wanted(layer)) {
        residuals[layer].push_back(x);
      }
      if (layer < forward.config().n_layers) {
        x = forward.block(layer, x, [&](models::Site site, const at::Tensor& activation) {
          record.activation_scales[{site, layer}].add(activation);
        });
      }
    }
    const at::Tensor loss = forward.losses(forward.config().n_layers, x, subject.targets.narrow(0, sequence, 1));
    record.losses.push_back(loss.item<double>());
  }
  for (auto& [layer, parts] : residuals) {
    record.residuals[layer] = at::cat(parts, 0);
  }
  return record;
}

at::Tensor site_activation(const models::Forward& forward, models::Site site, int64_t layer,
                           const at::Tensor& residual) {
  if (site == models::Site::residual) {
    return residual;
  }
  const c10::NoGradGuard no_grad;
  std::vector<at::Tensor> activations;
  for (int64_t sequence = 0; sequence < residual.size(0); ++sequence) {
    forward.block(layer, residual.narrow(0, sequence, 1), [&](models::Site at_site, const at::Tensor& activation) {
      if (at_site == site) {
        activations.push_back(activation);
      }
    });
  }
  return at::cat(activations, 0);
}

hessian::BlockFunction site_losses(const models::Forward& forward, models::Site site, int64_t layer,
                                   at::Tensor residual, at::Tensor targets) {
  return [&forward, site, layer, residual = std::move(residual), targets = std::move(targets)](
             const at::Tensor& x, const hessian::BlockIndices& blocks) {
    return forward
        .losses_from_site(site, layer, x.to(residual.scalar_type()), hessian::rows_of(residual, blocks),
                          hessian::rows_of(targets, blocks))
        .to(x.scalar_type());
  };
}

}  // namespace experiments
