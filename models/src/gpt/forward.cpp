#include "hessian/models/forward.h"

#include <array>
#include <stdexcept>
#include <utility>

#include "gpt/architecture.h"

namespace hessian::models {

const std::vector<Site>& all_sites() {
  static const std::vector<Site> sites = {Site::residual, Site::attn_in, Site::attn_proj_in, Site::ffn_in,
                                          Site::ffn_down_in};
  return sites;
}

const char* to_string(Site site) {
  constexpr std::array<const char*, 5> names = {"residual", "attn_in", "attn_proj_in", "ffn_in", "ffn_down_in"};
  return names.at(static_cast<std::size_t>(site));
}

Site parse_site(const std::string& word) {
  std::string accepted;
  for (const Site site : all_sites()) {
    if (word == to_string(site)) {
      return site;
    }
    accepted += (accepted.empty() ? "" : ", ") + std::string(to_string(site));
  }
  throw std::runtime_error("'" + word + "' is not a site; known are " + accepted);
}

int64_t site_layers(const GptConfig& config, Site site) {
  return config.n_layers + (site == Site::residual ? 1 : 0);
}

std::string site_name(Site site, int64_t layer) {
  return "layers." + std::to_string(layer) + "." + to_string(site);
}

Forward::Forward(const Model& model, Numerics numerics, Derivatives derivatives)
    : config_(model.config),
      parameters_(model.parameters),
      numerics_(numerics),
      derivatives_(derivatives),
      embedding_(describe_embedding(config_).program),
      logits_(describe_logits(config_).program),
      loss_(describe_loss(config_).program) {
  for (int64_t layer = 0; layer < config_.n_layers; ++layer) {
    layers_.push_back(describe_layer(config_, layer).program);
  }
}

at::Tensor Forward::run(const Program& program, std::span<const at::Tensor> inputs, EvaluateOptions options) const {
  options.numerics = numerics_;
  options.derivatives = derivatives_;
  if (observer_) {
    for (std::size_t i = 0; i < inputs.size(); ++i) {
      observer_(program, static_cast<ValueId>(i), inputs[i]);
    }
    options.observe = [&, observe = options.observe](ValueId id, const at::Tensor& value) {
      observer_(program, id, value);
      if (observe) {
        observe(id, value);
      }
    };
  }
  return evaluate(program, parameters_, inputs, options);
}

Forward Forward::with_weights_of(int64_t layer, std::optional<int64_t> next) const {
  const auto names = [this](int64_t stage) {
    return parameter_names(stage == config_.n_layers ? loss_ : layers_.at(static_cast<std::size_t>(stage)));
  };
  Forward result = *this;
  result.parameters_ = parameters_.fetched(names(layer), next ? names(*next) : std::vector<std::string>());
  return result;
}

Forward Forward::observed(Observer observer) const {
  Forward result = *this;
  result.observer_ = std::move(observer);
  return result;
}

at::Tensor Forward::embed(const at::Tensor& tokens) const {
  return run(embedding_, std::array{tokens});
}

at::Tensor Forward::through_layer(int64_t layer, const at::Tensor& residual) const {
  return run(layers_.at(static_cast<std::size_t>(layer)), std::array{residual});
}

at::Tensor Forward::through_layer(int64_t layer, const at::Tensor& residual,
                                  const std::function<void(Site, const at::Tensor&)>& observe) const {
  const Program& program = layers_.at(static_cast<std::size_t>(layer));
  EvaluateOptions options;
  options.observe = [&](ValueId id, const at::Tensor& value) {
    for (const auto& [name, site_id] : program.sites) {
      if (site_id == id) {
        observe(parse_site(name), value);
      }
    }
  };
  return run(program, std::array{residual}, options);
}

at::Tensor Forward::logits(const at::Tensor& residual) const {
  return run(logits_, std::array{residual});
}

at::Tensor Forward::losses(int64_t layer, const at::Tensor& residual, const at::Tensor& targets) const {
  at::Tensor x = residual;
  for (int64_t next = layer; next < config_.n_layers; ++next) {
    x = through_layer(next, x);
  }
  return run(loss_, std::array{x, targets});
}

at::Tensor Forward::losses_from_site(Site site, int64_t layer, const at::Tensor& activation, const at::Tensor& residual,
                                     const at::Tensor& targets) const {
  if (site == Site::residual) {
    return losses(layer, activation, targets);
  }
  const Program& program = layers_.at(static_cast<std::size_t>(layer));
  EvaluateOptions options;
  options.overrides[program.sites.at(to_string(site))] = activation;
  const at::Tensor next = run(program, std::array{residual}, options);
  return losses(layer + 1, next, targets);
}

Program Forward::losses_program(int64_t layer) const {
  Program program;
  program.n_inputs = 2;
  append_layers_and_loss(program, layer, 0);
  return program;
}

Program Forward::whole_program() const {
  Program program;
  program.n_inputs = 2;
  append_layers_and_loss(program, 0, program.append(embedding_, {0}, ""));
  return program;
}

/// Appends the layers from `layer` on and the loss to a program whose second input is the targets.
/// \param residual  value that `layer` reads
void Forward::append_layers_and_loss(Program& program, int64_t layer, ValueId residual) const {
  constexpr ValueId targets = 1;
  for (; layer < config_.n_layers; ++layer) {
    program.sites[site_name(Site::residual, layer)] = residual;
    residual =
        program.append(layers_[static_cast<std::size_t>(layer)], {residual}, "layers." + std::to_string(layer) + ".");
  }
  program.sites[site_name(Site::residual, layer)] = residual;
  program.output = program.append(loss_, {residual, targets}, "");
}

}  // namespace hessian::models
