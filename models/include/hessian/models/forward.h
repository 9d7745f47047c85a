#pragma once

#include <ATen/ATen.h>

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "hessian/evaluate.h"
#include "hessian/models/model.h"

namespace hessian::models {

/// Activations that can be probed.
enum class Site {
  residual,      ///< input of layer l, or of the final norm for l = n_layers
  attn_in,       ///< input of the query, key and value maps
  attn_proj_in,  ///< input of the attention's output map
  ffn_in,        ///< input of the feed-forward layer's first maps
  ffn_down_in,   ///< input of the feed-forward layer's last map
};

const std::vector<Site>& all_sites();
const char* to_string(Site site);

/// Parses a result of to_string(Site).
/// \throws std::runtime_error  naming the accepted words
Site parse_site(const std::string& word);

/// Returns the number of layers that have the site: n_layers, and one more for the residual.
int64_t site_layers(const GptConfig& config, Site site);

/// Returns the name of a site in Forward::losses_program(): "layers.3.attn_in".
std::string site_name(Site site, int64_t layer);

/// Runs a model: holds its parameters and a Program of each of its stages (embedding, layers, head).
class Forward {
 public:
  /// Shares the tensors of the model instead of copying them.
  explicit Forward(const Model& model, Numerics numerics = Numerics::wide, Derivatives derivatives = Derivatives::any);

  const GptConfig& config() const { return config_; }
  const Parameters& parameters() const { return parameters_; }

  /// Returns a Forward with only the weights of `layer` materialised, or those of the final norm and the head for layer
  /// n_layers. With deferred parameters, the weights of a layer are then fetched once for several batches.
  /// \param next  the layer that will be needed next, whose weights are fetched in the background
  Forward with_weights_of(int64_t layer, std::optional<int64_t> next = {}) const;

  /// Called with a stage's program, the number of a value in it, and the value.
  using Observer = std::function<void(const Program&, ValueId, const at::Tensor&)>;

  /// Returns a Forward that calls `observer` with all inputs and computed values of every stage.
  Forward observed(Observer observer) const;

  /// Maps tokens [S, T] to the first residual [S, T, dim].
  at::Tensor embed(const at::Tensor& tokens) const;

  /// Maps the residual [S, T, dim] before `layer` to the one after it.
  at::Tensor through_layer(int64_t layer, const at::Tensor& residual) const;

  /// Does the same, and calls `observe` with the activation at each site inside the layer.
  at::Tensor through_layer(int64_t layer, const at::Tensor& residual,
                           const std::function<void(Site, const at::Tensor&)>& observe) const;

  /// Maps the last residual to logits [S, T, vocab_size].
  at::Tensor logits(const at::Tensor& residual) const;

  /// Returns the mean cross-entropy of each sequence, [S], in nats, given the residual before `layer`.
  at::Tensor losses(int64_t layer, const at::Tensor& residual, const at::Tensor& targets) const;

  /// Returns the losses as a function of the activation at a site of `layer`, with the residual before the layer fixed.
  /// \param activation  value of the activation; for Site::residual it replaces `residual`
  at::Tensor losses_from_site(Site site, int64_t layer, const at::Tensor& activation, const at::Tensor& residual,
                              const at::Tensor& targets) const;

  /// Returns the losses from `layer` on as one program of the residual before that layer and the targets [S, T]. Its
  /// sites have the names of site_name().
  Program losses_program(int64_t layer) const;

  /// Returns the losses of the whole model as a program of tokens and targets [S, T].
  Program whole_program() const;

 private:
  at::Tensor run(const Program& program, std::span<const at::Tensor> inputs, EvaluateOptions options = {}) const;
  void append_layers_and_loss(Program& program, int64_t layer, ValueId residual) const;

  GptConfig config_;
  Parameters parameters_;
  Numerics numerics_;
  Derivatives derivatives_;
  Program embedding_;
  std::vector<Program> layers_;
  Program logits_;
  Program loss_;
  Observer observer_;
};

}  // namespace hessian::models
