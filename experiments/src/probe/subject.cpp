#include "probe/subject.h"

#include <c10/core/GradMode.h>
#include <fmt/format.h>

#include <algorithm>
#include <stdexcept>
#include <utility>

#include "config/dtype.h"
#include "config/tokenizer_option.h"
#include "hessian/models/named_models.h"
#include "hessian/models/weight_stream.h"
#include "tokens/text_files.h"

namespace hessian::experiments {
namespace {

models::LoadedCheckpoint load_model(const ProbeOptions& options) {
  const auto fresh = fresh_architecture(options);
  if (!fresh) {
    return models::load_checkpoint(options.model, models::WeightAccess::deferred);
  }
  return {models::initialise_model(*fresh, options.seed), 0, "fresh " + models::model_label(*fresh)};
}

models::TokenBatch load_batch(const ProbeOptions& options, const models::GptConfig& config) {
  models::DataOptions data;
  data.source = options.data;
  data.tokenizer = options.tokenizer;
  if (options.begin_token || models::is_text_source(options.data)) {
    data.tokenizer = choose_tokenizer(options.tokenizer, options.model, data.names.tokenizer);
  }
  data.begin_token = options.begin_token;
  data.token_type = options.token_type;
  data.sequences = options.sequences;
  data.seq_len = options.seq_len;
  data.max_seq_len = config.max_seq_len;
  data.seed = options.seed;
  data.vocab_size = config.vocab_size;
  data.accept_larger_vocab = models::is_model_name(options.model);
  check_seq_len(options, config);
  models::TokenBatch batch = models::load_token_batch(data);
  if (batch.tokens.size(1) > config.max_seq_len) {
    throw std::runtime_error(options.data + ": sequences of " + std::to_string(batch.tokens.size(1)) +
                             " tokens are longer than the " + std::to_string(config.max_seq_len) + " positions of " +
                             options.model + "; give --seq-len " + std::to_string(config.max_seq_len));
  }
  return batch;
}

}  // namespace

std::optional<models::GptConfig> fresh_architecture(const ProbeOptions& options) {
  if (!models::is_model_name(options.model)) {
    if (options.vocab_size) {
      throw std::invalid_argument("--vocab-size is for fresh models (new:...); " + options.model + " has its own");
    }
    return std::nullopt;
  }
  try {
    return models::parse_model_name(options.model, options.vocab_size);
  } catch (const std::runtime_error& error) {
    throw std::invalid_argument(error.what());
  }
}

void check_seq_len(const ProbeOptions& options, const models::GptConfig& config) {
  if (options.seq_len > config.max_seq_len) {
    throw std::invalid_argument("--seq-len " + std::to_string(options.seq_len) + " is longer than the " +
                                std::to_string(config.max_seq_len) + " positions of " + options.model);
  }
}

ProbeSource read_source(const ProbeOptions& options) {
  models::LoadedCheckpoint checkpoint = load_model(options);
  models::TokenBatch batch = load_batch(options, checkpoint.model.config);
  return {std::move(checkpoint), std::move(batch)};
}

namespace {

ProbeSubject subject_of(const ProbeSource& source, at::Device device, Parameters parameters) {
  const models::LoadedCheckpoint& checkpoint = source.checkpoint;
  return {models::Forward(models::Model{checkpoint.model.config, std::move(parameters)}),
          source.batch.tokens.to(device), source.batch.targets.to(device), checkpoint.training_step,
          checkpoint.description};
}

}  // namespace

ProbeSubject subject_with_weights(const ProbeSource& source, at::Device device, at::ScalarType dtype) {
  const models::Model& model = source.checkpoint.model;
  ProbeSubject subject = subject_of(source, device, model.parameters.to(device, dtype));
  subject.weight_bytes = models::weight_bytes(model, dtype);
  return subject;
}

ProbeSubject load_subject(const ProbeOptions& options, at::Device device) {
  return subject_with_weights(read_source(options), device, options.dtype);
}

ProbeSubject subject_with_streamed_weights(const ProbeSource& source, at::Device device, at::ScalarType dtype) {
  const models::Model& model = source.checkpoint.model;
  ProbeSubject subject = subject_of(source, device, models::stream_weights(model, device, dtype));
  subject.weight_bytes = models::streamed_bytes(model, dtype);
  subject.streamed = true;
  return subject;
}

ForwardRecord record_forward(const ProbeSubject& subject, const std::vector<int64_t>& layers) {
  const c10::NoGradGuard no_grad;
  ForwardRecord record;
  record.overflows.resize(static_cast<std::size_t>(subject.sequences()));
  const int64_t n_layers = subject.forward.config().n_layers;
  std::size_t sequence = 0;
  // Returns an observer that notes the first overflow of the current sequence.
  const auto watch = [&record, &sequence](int64_t layer) {
    return [&record, &sequence, layer](const Program& program, ValueId id, const at::Tensor& value) {
      std::optional<ForwardOverflow>& found = record.overflows[sequence];
      if (found) {
        return;
      }
      if (auto overflow = find_overflow(program, id, value)) {
        found = ForwardOverflow{layer, *std::move(overflow)};
      }
    };
  };
  std::vector<at::Tensor> x;
  const models::Forward embedding = subject.forward.observed(watch(-1));
  for (sequence = 0; sequence < record.overflows.size(); ++sequence) {
    x.push_back(embedding.embed(subject.tokens.narrow(0, static_cast<int64_t>(sequence), 1)));
  }
  for (int64_t layer = 0; layer <= n_layers; ++layer) {
    if (std::find(layers.begin(), layers.end(), layer) != layers.end()) {
      record.residuals[layer] = at::cat(x, 0);
    }
    const models::Forward loaded =
        subject.forward.with_weights_of(layer, layer < n_layers ? std::optional(layer + 1) : std::nullopt)
            .observed(watch(layer));
    for (sequence = 0; sequence < x.size(); ++sequence) {
      at::Tensor& residual = x[sequence];
      record.activation_scales[{models::Site::residual, layer}].add(residual);
      if (layer < n_layers) {
        residual = loaded.through_layer(layer, residual, [&](models::Site site, const at::Tensor& activation) {
          record.activation_scales[{site, layer}].add(activation);
        });
      } else {
        const at::Tensor targets = subject.targets.narrow(0, static_cast<int64_t>(sequence), 1);
        record.losses.push_back(loaded.losses(n_layers, residual, targets).item<double>());
      }
    }
  }
  return record;
}

void require_no_overflow(const ForwardRecord& record, const ProbeSubject& subject, const std::string& model,
                         const std::string& remedy) {
  const auto first = std::find_if(record.overflows.begin(), record.overflows.end(),
                                  [](const auto& overflow) { return overflow.has_value(); });
  if (first == record.overflows.end()) {
    return;
  }
  const auto sequence = first - record.overflows.begin();
  const auto& [layer, value] = **first;
  const std::string stage = layer < 0                                    ? "embedding"
                            : layer == subject.forward.config().n_layers ? "final norm and head"
                                                                         : fmt::format("layer {}", layer);
  const at::ScalarType dtype = subject.forward.parameters().begin()->second.scalar_type();
  for (const std::string& name : value.parameters) {
    if (!subject.forward.parameters().fetched({name}).at(name).isfinite().all().item<bool>()) {
      throw std::runtime_error(
          fmt::format("{}: the weight {} has entries that are not finite in {}", model, name, dtype_name(dtype)));
    }
  }
  const std::string help = dtype == at::kDouble ? "" : "; " + remedy;
  if (value.finite) {
    throw std::runtime_error(
        fmt::format("{}, sequence {}, {}: the squares of {}, whose entries reach {:.1e}, overflow in {}, so that all "
                    "curvature before it would look like zero{}",
                    model, sequence, stage, value.place, value.largest, dtype_name(dtype), help));
  }
  throw std::runtime_error(fmt::format("{}, sequence {}, {}: {} is not finite in {}{}", model, sequence, stage,
                                       value.place, dtype_name(dtype), help));
}

at::Tensor site_activation(const models::Forward& forward, models::Site site, int64_t layer,
                           const at::Tensor& residual) {
  if (site == models::Site::residual) {
    return residual;
  }
  const c10::NoGradGuard no_grad;
  const models::Forward loaded = forward.with_weights_of(layer);
  std::vector<at::Tensor> activations;
  for (int64_t sequence = 0; sequence < residual.size(0); ++sequence) {
    loaded.through_layer(layer, residual.narrow(0, sequence, 1),
                         [&](models::Site observed, const at::Tensor& activation) {
                           if (observed == site) {
                             activations.push_back(activation);
                           }
                         });
  }
  return at::cat(activations, 0);
}

ProblemFunction site_losses(const models::Forward& forward, models::Site site, int64_t layer, at::Tensor residual,
                            at::Tensor targets) {
  return [&forward, site, layer, residual = std::move(residual), targets = std::move(targets)](
             const at::Tensor& x, const ProblemIndices& problems) {
    return forward
        .losses_from_site(site, layer, x.to(residual.scalar_type()), rows_of(residual, problems),
                          rows_of(targets, problems))
        .to(x.scalar_type());
  };
}

}  // namespace hessian::experiments
