#pragma once

#include <cstdint>
#include <string>

#include "hessian/models/config.h"
#include "hessian/parameters.h"

namespace hessian::models {

/// A GPT: its architecture and its weights, named and ordered as in parameter_specs(config).
struct Model {
  GptConfig config;
  hessian::Parameters parameters;
};

/// What a loader does with weights that its file does not hold as the model takes them, or that must not be left there.
enum class WeightAccess {
  ready,     ///< makes them: every parameter is a tensor
  deferred,  ///< defers them, to be made when they are fetched: nothing of the file's size is held in memory
};

/// Gives a model that owns nothing but `parameters`, after checking that exactly the parameters of `config` are there.
/// `source` is the file's name, for the messages: "ckpt.pt: tensor 'layers.0.attention.wq.weight' is [64, 60], expected
/// [64, 64] (dim 64)".
/// \param parameters  may be in any order, and deferred; the result has the order of parameter_specs(config)
/// \throws std::runtime_error  for an absent, an unexpected, a wrongly shaped or a non-finite tensor
Model assemble_model(const GptConfig& config, const hessian::Parameters& parameters, const std::string& source);

/// Fresh weights, in float32 on the CPU, drawn as the official codes draw them (see Initialiser in config.h).
/// Placements that share a configuration share every matrix of one seed, since gains draw no numbers.
Model initialise_model(const GptConfig& config, uint64_t seed);

/// The parameters of a configuration on the meta device: shapes without memory.
hessian::Parameters meta_parameters(const GptConfig& config);

}  // namespace hessian::models
