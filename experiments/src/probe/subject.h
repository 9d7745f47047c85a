#pragma once

#include <ATen/ATen.h>

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "hessian/hessian_operator.h"
#include "hessian/models/checkpoint.h"
#include "hessian/models/token_data.h"
#include "probe/activation_scale.h"
#include "probe/probe.h"

namespace hessian::experiments {

/// A model and sequences as they were read: weights lie where their file has them as far as that is possible.
struct ProbeSource {
  models::LoadedCheckpoint checkpoint;
  models::TokenBatch batch;
};

/// Reads or draws the model, and the sequences.
/// \throws std::runtime_error, std::invalid_argument  as run_probe
ProbeSource read_source(const ProbeOptions& options);

/// The model and the sequences that a probe looks at, on the device and in the precision of the probe.
struct ProbeSubject {
  models::Forward forward;
  at::Tensor tokens;   ///< [S, T]
  at::Tensor targets;  ///< [S, T]
  int64_t step = 0;
  std::string description;
  /// What weights take: all of them, or those that pass by at once where they are streamed. 0 where they are not the
  /// probe's to count.
  int64_t weight_bytes = 0;
  bool streamed = false;

  int64_t sequences() const { return tokens.size(0); }
  int64_t seq_len() const { return tokens.size(1); }
};

/// Reads a subject and has its weights at hand.
/// \throws std::runtime_error, std::invalid_argument  as run_probe
ProbeSubject load_subject(const ProbeOptions& options, at::Device device);

/// A subject whose weights are all at hand.
ProbeSubject subject_with_weights(const ProbeSource& source, at::Device device, at::ScalarType dtype);

/// A subject whose weights are fetched block by block, for the tape.
ProbeSubject subject_with_streamed_weights(const ProbeSource& source, at::Device device, at::ScalarType dtype);

/// What one forward pass over all sequences shows.
struct ForwardRecord {
  std::vector<double> losses;               ///< [S]
  std::map<int64_t, at::Tensor> residuals;  ///< of the layers asked for, [S, T, dim]
  std::map<std::pair<models::Site, int64_t>, ActivationScaleSum> activation_scales;  ///< of every site and layer
};

/// Runs the model once, block by block, and through each one sequence at a time so that it needs little memory.
ForwardRecord record_forward(const ProbeSubject& subject, const std::vector<int64_t>& layers);

/// The activation at a site of some sequences, given the residual before its block, [s, T, width].
at::Tensor site_activation(const models::Forward& forward, models::Site site, int64_t layer,
                           const at::Tensor& residual);

/// The loss of each sequence as a function of the activation at a site; block s is row s of residual and targets, which
/// are held fixed. The activation may be wider than the model's precision; it is rounded on entry.
hessian::ProblemFunction site_losses(const models::Forward& forward, models::Site site, int64_t layer,
                                     at::Tensor residual, at::Tensor targets);

}  // namespace hessian::experiments
