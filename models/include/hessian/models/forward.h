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

/// Places whose activation can be probed.
enum class Site {
  residual,      ///< input of block l, or of the final norm for l = n_layers
  attn_in,       ///< input of the query, key and value maps
  attn_proj_in,  ///< input of the attention's output map
  ffn_in,        ///< input of the feed-forward layer's first maps
  ffn_down_in,   ///< input of the feed-forward layer's last map
};

const std::vector<Site>& all_sites();
const char* to_string(Site site);

/// \throws std::runtime_error  naming the accepted words
Site parse_site(const std::string& word);

/// How many layers have the site: n_layers, and one more for the residual.
int64_t site_layers(const GptConfig& config, Site site);

/// "layers.3.attn_in": a site's name in Forward::losses_program.
std::string site_name(Site site, int64_t layer);

/// A model with its programs at hand: what runs it.
class Forward {
 public:
  /// Shares the model's tensors.
  explicit Forward(const Model& model, hessian::Numerics numerics = hessian::Numerics::wide,
                   hessian::Derivatives derivatives = hessian::Derivatives::any);

  const GptConfig& config() const { return config_; }
  const hessian::Parameters& parameters() const { return parameters_; }

  /// The same with the weights of block `layer` at hand, or those of the last norm and the head for layer n_layers, and
  /// no others. Where parameters are deferred, several batches go through one part for one fetch of its weights.
  /// \param next  the layer that will be asked for next, whose weights are got ready meanwhile
  Forward with_weights_of(int64_t layer, std::optional<int64_t> next = {}) const;

  /// Tokens [S, T] to the first residual [S, T, dim].
  at::Tensor embed(const at::Tensor& tokens) const;

  /// Residual [S, T, dim] through block `layer`.
  at::Tensor block(int64_t layer, const at::Tensor& residual) const;

  /// The same, calling `observe` with the activation at each site inside the block.
  at::Tensor block(int64_t layer, const at::Tensor& residual,
                   const std::function<void(Site, const at::Tensor&)>& observe) const;

  /// Last residual to logits [S, T, vocab_size].
  at::Tensor logits(const at::Tensor& residual) const;

  /// Mean cross-entropy of each sequence, [S], in nats, given the residual before block `layer`.
  at::Tensor losses(int64_t layer, const at::Tensor& residual, const at::Tensor& targets) const;

  /// The same as a function of the activation at a site of block `layer`, the residual before the block held fixed.
  /// \param activation  what stands at the site; for Site::residual it takes the residual's place
  at::Tensor losses_from_site(Site site, int64_t layer, const at::Tensor& activation, const at::Tensor& residual,
                              const at::Tensor& targets) const;

  /// The losses from block `layer` on as one program of the residual before that block and the targets. Its sites are
  /// named by site_name().
  hessian::Program losses_program(int64_t layer) const;

  /// The same from the tokens on: a program of tokens and targets [S, T] that reads every parameter.
  hessian::Program whole_program() const;

 private:
  at::Tensor run(const hessian::Program& program, std::span<const at::Tensor> inputs,
                 hessian::EvaluateOptions options = {}) const;
  void append_blocks_and_loss(hessian::Program& program, int64_t layer, hessian::ValueId residual) const;

  GptConfig config_;
  hessian::Parameters parameters_;
  hessian::Numerics numerics_;
  hessian::Derivatives derivatives_;
  hessian::Program embedding_;
  std::vector<hessian::Program> blocks_;
  hessian::Program logits_;
  hessian::Program loss_;
};

}  // namespace hessian::models
