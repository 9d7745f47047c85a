#pragma once

#include <ATen/ATen.h>

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "activation_scale.h"
#include "experiments/probe.h"
#include "hessian/hessian_operator.h"

namespace experiments {

/// The model and the sequences that a probe looks at, on the device and in the precision of the probe.
struct ProbeSubject {
  models::Forward forward;
  at::Tensor tokens;   ///< [S, T]
  at::Tensor targets;  ///< [S, T]
  int64_t step = 0;
  std::string description;

  int64_t sequences() const { return tokens.size(0); }
  int64_t seq_len() const { return tokens.size(1); }
};

/// Reads or draws the model, and the sequences.
/// \throws std::runtime_error, std::invalid_argument  as run_probe
ProbeSubject load_subject(const ProbeOptions& options, at::Device device);

/// What one forward pass over all sequences shows.
struct ForwardRecord {
  std::vector<double> losses;               ///< [S]
  std::map<int64_t, at::Tensor> residuals;  ///< of the layers asked for, [S, T, dim]
  std::map<std::pair<models::Site, int64_t>, ActivationScaleSum> activation_scales;  ///< of every site and layer
};

/// Runs the model once, one sequence at a time so that it needs little memory.
ForwardRecord record_forward(const ProbeSubject& subject, const std::vector<int64_t>& layers);

/// The activation at a site of some sequences, given the residual before its block, [s, T, width].
at::Tensor site_activation(const models::Forward& forward, models::Site site, int64_t layer,
                           const at::Tensor& residual);

/// The loss of each sequence as a function of the activation at a site; block s is row s of residual and targets, which
/// are held fixed. The activation may be wider than the model's precision; it is rounded on entry.
hessian::BlockFunction site_losses(const models::Forward& forward, models::Site site, int64_t layer,
                                   at::Tensor residual, at::Tensor targets);

}  // namespace experiments
