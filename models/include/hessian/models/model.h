#pragma once

#include <cstdint>
#include <string>

#include "hessian/models/config.h"
#include "hessian/parameters.h"

namespace hessian::models {

/// A GPT: its architecture and its weights, named and ordered as in parameter_specs(config).
struct Model {
  GptConfig config;
  Parameters parameters;
};

/// How a loader treats weights that need a conversion, or that must not remain views of the mapped file.
enum class WeightAccess {
  ready,     ///< converts them now: every parameter is a tensor
  deferred,  ///< converts them when they are fetched, so that memory need not hold all of them
  unread,    ///< like deferred, and leaves their values unchecked: for a description, which needs none of them
};

/// Makes a model from its parameters, after checking that exactly the parameters of `config` are present. The tensors
/// are shared, not copied. `source` is the file's name, for the messages: "ckpt.pt: tensor
/// 'layers.0.attention.wq.weight' is [64, 60], expected [64, 64] (dim 64)".
/// \param parameters  in any order, possibly deferred; the result has the order of parameter_specs(config)
/// \param access      with WeightAccess::unread, names, shapes and types are checked, but not the values
/// \throws std::runtime_error  for a missing, unexpected, wrongly shaped or non-finite tensor
Model assemble_model(const GptConfig& config, const Parameters& parameters, const std::string& source,
                     WeightAccess access = WeightAccess::ready);

/// Initialises weights in float32 on the CPU, with the distributions of the official codes (see Initialiser in
/// config.h). Models of one configuration and seed that differ only in placement have the same matrices, because norm
/// gains use no random numbers.
Model initialise_model(const GptConfig& config, uint64_t seed);

}  // namespace hessian::models
