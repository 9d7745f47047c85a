#pragma once

#include <ATen/ATen.h>

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "hessian/hessian_operator.h"
#include "hessian/models/checkpoint.h"
#include "hessian/models/token_data.h"
#include "hessian/overflow.h"
#include "probe/activation_scale.h"
#include "probe/probe.h"

namespace hessian::experiments {

/// A model and sequences as they were read. Weights stay in their mapped file as far as possible.
struct ProbeSource {
  models::LoadedCheckpoint checkpoint;
  models::TokenBatch batch;
};

/// Returns the architecture of a fresh model, or nothing if the options name a checkpoint.
/// \throws std::invalid_argument  if the name is unknown, or --vocab-size was given for a checkpoint
std::optional<models::GptConfig> fresh_architecture(const ProbeOptions& options);

/// Checks that the model has enough positions for --seq-len.
/// \throws std::invalid_argument  naming both lengths
void check_seq_len(const ProbeOptions& options, const models::GptConfig& config);

/// Reads or initialises the model, and reads the sequences.
/// \throws std::runtime_error, std::invalid_argument  as run_probe
ProbeSource read_source(const ProbeOptions& options);

/// The model and the sequences of a probe, on its device and in its precision.
struct ProbeSubject {
  models::Forward forward;
  at::Tensor tokens;   ///< [S, T]
  at::Tensor targets;  ///< [S, T]
  int64_t step = 0;
  std::string description;
  /// Bytes of all weights or, if they are streamed, of those that are loaded at the same time. 0 if another object owns
  /// the weights, such as a training run.
  int64_t weight_bytes = 0;
  bool streamed = false;

  int64_t sequences() const { return tokens.size(0); }
  int64_t seq_len() const { return tokens.size(1); }
};

/// Reads a subject and loads its weights.
/// \throws std::runtime_error, std::invalid_argument  as run_probe
ProbeSubject load_subject(const ProbeOptions& options, at::Device device);

/// Returns a subject with all weights loaded.
ProbeSubject subject_with_weights(const ProbeSource& source, at::Device device, at::ScalarType dtype);

/// Returns a subject whose weights are fetched layer by layer, for the tape.
ProbeSubject subject_with_streamed_weights(const ProbeSource& source, at::Device device, at::ScalarType dtype);

/// Where the forward pass of a sequence first overflowed.
struct ForwardOverflow {
  int64_t layer = 0;  ///< -1: the embedding; n_layers: the final norm and the loss
  Overflow value;
};

/// Results of one forward pass over all sequences.
struct ForwardRecord {
  std::vector<double> losses;               ///< [S]
  std::map<int64_t, at::Tensor> residuals;  ///< input of each requested layer, [S, T, dim]
  std::map<std::pair<models::Site, int64_t>, ActivationScaleSum> activation_scales;  ///< per site and layer
  std::vector<std::optional<ForwardOverflow>> overflows;                             ///< [S]
};

/// Runs the model once, layer by layer and one sequence at a time, which needs little memory.
ForwardRecord record_forward(const ProbeSubject& subject, const std::vector<int64_t>& layers);

/// Checks that the forward pass of every sequence is finite and that no norm overflows, which hides all curvature in front
/// of it.
/// \param model   the model's name in messages
/// \param remedy  how to choose a wider precision, such as "give --dtype float64"
/// \throws std::runtime_error  naming the sequence, the layer, the operation and the largest entry
void require_no_overflow(const ForwardRecord& record, const ProbeSubject& subject, const std::string& model,
                         const std::string& remedy);

/// Returns the activation at a site, [S, T, width], given the input of its layer.
at::Tensor site_activation(const models::Forward& forward, models::Site site, int64_t layer,
                           const at::Tensor& residual);

/// Returns the loss of each sequence as a function of the activation at a site. Residual (the layer's input) and
/// targets are held fixed; problem s is their row s. The activation is rounded to the residual's precision.
ProblemFunction site_losses(const models::Forward& forward, models::Site site, int64_t layer, at::Tensor residual,
                            at::Tensor targets);

}  // namespace hessian::experiments
