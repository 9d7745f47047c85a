#include "train/config.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <stdexcept>

#include "config/dtype.h"
#include "hessian/models/named_models.h"
#include "probe/probe.h"

namespace hessian::experiments {
namespace {

/// Refuses values, naming the file and the key.
class Checker {
 public:
  explicit Checker(std::string source) : source_(std::move(source)) {}

  template <class T>
  void expect(bool right, const char* key, const T& value, const std::string& expectation) const {
    if (!right) {
      throw std::invalid_argument(fmt::format("{}: {} is {}, expected {}", source_, key, value, expectation));
    }
  }

  void at_least(int64_t least, const char* key, int64_t value) const {
    expect(value >= least, key, value, fmt::format("a whole number from {} on", least));
  }

  void positive(const char* key, double value) const {
    expect(value > 0 && std::isfinite(value), key, value, "a positive number");
  }

  void not_negative(const char* key, double value) const {
    expect(value >= 0 && std::isfinite(value), key, value, "0 or a positive number");
  }

  void fraction(const char* key, double value) const {
    expect(value >= 0 && value < 1, key, value, "a number from 0 on and below 1");
  }

  void word(const char* key, const std::string& value, const std::vector<std::string>& known) const {
    if (std::find(known.begin(), known.end(), value) == known.end()) {
      throw std::invalid_argument(fmt::format("{}: {} is '{}', expected one of {}; did you mean '{}'?", source_, key,
                                              value, fmt::join(known, ", "), nearest_word(value, known)));
    }
  }

 private:
  std::string source_;
};

void check_model(const TrainConfig::Model& model, const Checker& checker) {
  checker.at_least(0, "model.vocab_size", model.vocab_size);
  checker.at_least(0, "model.dim", model.dim);
  checker.at_least(0, "model.n_layers", model.n_layers);
  checker.at_least(0, "model.n_heads", model.n_heads);
  checker.at_least(0, "model.n_kv_heads", model.n_kv_heads);
  checker.at_least(0, "model.ffn_hidden_dim", model.ffn_hidden_dim);
}

void check_optimizer(const TrainConfig::Optimizer& optimizer, const Checker& checker) {
  checker.word("optimizer.name", optimizer.name, {"adamw", "sgd"});
  checker.positive("optimizer.lr", optimizer.lr);
  checker.fraction("optimizer.beta1", optimizer.beta1);
  checker.fraction("optimizer.beta2", optimizer.beta2);
  checker.fraction("optimizer.momentum", optimizer.momentum);
  checker.not_negative("optimizer.eps", optimizer.eps);
  checker.not_negative("optimizer.weight_decay", optimizer.weight_decay);
  checker.word("optimizer.decay", optimizer.decay, {"all", "matrices"});
  checker.not_negative("optimizer.clip", optimizer.clip);
}

void check_schedule(const TrainConfig& config, const Checker& checker) {
  const auto& schedule = config.schedule;
  checker.word("schedule.name", schedule.name, schedule_words());
  checker.expect(schedule.warmup >= 0 && schedule.warmup < config.steps, "schedule.warmup", schedule.warmup,
                 fmt::format("0 to {}, fewer than the {} steps", config.steps - 1, config.steps));
  checker.expect(schedule.final_fraction >= 0 && schedule.final_fraction <= 1, "schedule.final_fraction",
                 schedule.final_fraction, "a number from 0 to 1");
  if (schedule.name == "wsd") {
    checker.expect(schedule.decay >= 1 && schedule.decay <= config.steps - schedule.warmup, "schedule.decay",
                   schedule.decay, fmt::format("1 to {}, what the warm-up leaves", config.steps - schedule.warmup));
  }
}

void check_probe(const TrainConfig::Probe& probe, const Checker& checker) {
  checker.at_least(0, "probe.every", probe.every);
  checker.at_least(1, "probe.sequences", probe.sequences);
  checker.at_least(1, "probe.max_iterations", probe.max_iterations);
  checker.word("probe.ends", probe.ends, ends_words);
  checker.positive("probe.tolerance", probe.tolerance);
  std::vector<std::string> sites = {"all"};
  for (const models::Site site : models::all_sites()) {
    sites.emplace_back(models::to_string(site));
  }
  for (const std::string& site : probe.sites) {
    checker.word("probe.sites", site, sites);
  }
  checker.expect(!probe.sites.empty(), "probe.sites", "[]", "at least one site");
}

}  // namespace

ConfigFields train_fields(TrainConfig& c) {
  return {
      {"out", &c.out, "folder of the run; empty: the configuration's name without .toml"},
      {"steps", &c.steps, "updates"},
      {"seed", &c.seed, "of fresh weights and of the order of the data"},
      {"device", &c.device, "auto, cpu, cuda or cuda:N"},
      {"dtype", &c.dtype, "float32; bfloat16: products only (autocast); float64"},
      {"threads", &c.threads, "CPU threads; 0: all"},
      {"model.name", &c.model.name, "new:FAMILY-SIZE-PLACEMENT, or a checkpoint to go on from"},
      {"model.vocab_size", &c.model.vocab_size, "of a fresh model; 0: the size's own"},
      {"model.dim", &c.model.dim, "of a fresh model; 0: the size's own"},
      {"model.n_layers", &c.model.n_layers, "of a fresh model; 0: the size's own"},
      {"model.n_heads", &c.model.n_heads, "of a fresh model; 0: the size's own"},
      {"model.n_kv_heads", &c.model.n_kv_heads, "of a fresh model; 0: the size's own, or n_heads"},
      {"model.ffn_hidden_dim", &c.model.ffn_hidden_dim, "of a fresh model; 0: what dim asks for"},
      {"data.source", &c.data.source, "builtin, a text, tokens (.bin), or a .safetensors with tokens and targets"},
      {"data.seq_len", &c.data.seq_len, "tokens of a sequence"},
      {"data.batch_size", &c.data.batch_size, "sequences of one forward and backward pass"},
      {"data.accumulation", &c.data.accumulation, "passes of one update"},
      {"optimizer.name", &c.optimizer.name, "adamw or sgd"},
      {"optimizer.lr", &c.optimizer.lr, "peak learning rate"},
      {"optimizer.beta1", &c.optimizer.beta1, "of AdamW"},
      {"optimizer.beta2", &c.optimizer.beta2, "of AdamW"},
      {"optimizer.eps", &c.optimizer.eps, "of AdamW"},
      {"optimizer.momentum", &c.optimizer.momentum, "of SGD"},
      {"optimizer.weight_decay", &c.optimizer.weight_decay, "decoupled for AdamW, an L2 term for SGD"},
      {"optimizer.decay", &c.optimizer.decay, "what decays: all parameters, or matrices only"},
      {"optimizer.clip", &c.optimizer.clip, "largest global gradient norm; 0: no clipping"},
      {"schedule.name", &c.schedule.name, "linear, cosine, constant or wsd"},
      {"schedule.warmup", &c.schedule.warmup, "steps of linear warm-up"},
      {"schedule.decay", &c.schedule.decay, "steps of wsd's linear decay at the end"},
      {"schedule.final_fraction", &c.schedule.final_fraction, "of the peak, where linear, cosine and wsd end"},
      {"validation.every", &c.validation.every, "steps between validations, and one at the end; 0: none"},
      {"validation.sequences", &c.validation.sequences, "held-out sequences, the same each time"},
      {"log.update_every", &c.log.update_every, "steps between rows of update and parameter RMS; 0: none"},
      {"checkpoint.every", &c.checkpoint.every, "steps between checkpoints, and one at the end; 0: none"},
      {"checkpoint.keep", &c.checkpoint.keep, "how many of the last checkpoints stay"},
      {"probe.every", &c.probe.every, "steps between probes, and one at start and end; 0: none"},
      {"probe.layers", &c.probe.layers, "all, or blocks such as 0,3,5-7"},
      {"probe.sites", &c.probe.sites, "residual, attn_in, attn_proj_in, ffn_in, ffn_down_in, or all"},
      {"probe.sequences", &c.probe.sequences, "held-out sequences, the same each time"},
      {"probe.ends", &c.probe.ends, "of the spectrum: both, or the dominant one alone, which is faster"},
      {"probe.tolerance", &c.probe.tolerance, "residual norm relative to the spectral norm"},
      {"probe.max_iterations", &c.probe.max_iterations, "most products of an eigenproblem"},
      {"probe.sharpness", &c.probe.sharpness, "also the top of the parameter Hessian, bare and preconditioned"},
      {"divergence.margin", &c.divergence.margin, "nats above the best smoothed loss"},
      {"divergence.patience", &c.divergence.patience, "consecutive steps above that"},
      {"divergence.smoothing", &c.divergence.smoothing, "steps of the running median, odd"},
      {"divergence.plateau_drop", &c.divergence.plateau_drop,
       "nats below the initial loss of fresh weights that must be reached; 0: off"},
      {"divergence.plateau_steps", &c.divergence.plateau_steps, "step by which it must be; 0: the last"},
      {"divergence.stop", &c.stop_when_diverged, "end the run when it has diverged"},
  };
}

TrainConfig load_train_config(const std::string& path, const std::vector<std::string>& settings) {
  TrainConfig config;
  read_config_file(path, settings, train_fields(config));
  check(config, path);
  if (config.out.empty()) {
    config.out = std::filesystem::path(path).stem().string();
  }
  return config;
}

void check(const TrainConfig& config, const std::string& source) {
  const Checker checker(source);
  check_model(config.model, checker);
  checker.at_least(1, "steps", config.steps);
  checker.at_least(0, "seed", config.seed);
  constexpr int64_t most_threads = 1024;  // a typing error more would take the machine down
  checker.expect(config.threads >= 0 && config.threads <= most_threads, "threads", config.threads,
                 fmt::format("a whole number from 0 to {}", most_threads));
  checker.word("dtype", config.dtype, {"float32", "bfloat16", "float64"});
  checker.at_least(1, "data.seq_len", config.data.seq_len);
  checker.at_least(1, "data.batch_size", config.data.batch_size);
  checker.at_least(1, "data.accumulation", config.data.accumulation);
  check_optimizer(config.optimizer, checker);
  check_schedule(config, checker);
  checker.at_least(0, "validation.every", config.validation.every);
  checker.at_least(1, "validation.sequences", config.validation.sequences);
  checker.at_least(0, "log.update_every", config.log.update_every);
  checker.at_least(0, "checkpoint.every", config.checkpoint.every);
  checker.at_least(1, "checkpoint.keep", config.checkpoint.keep);
  check_probe(config.probe, checker);
  try {
    check(config.divergence);
    if (models::is_model_name(config.model.name)) {
      architecture_of(config);
    }
  } catch (const std::invalid_argument& error) {
    throw std::invalid_argument(source + ": " + error.what());
  }
}

std::string model_label(const TrainConfig& config) {
  const std::string& model = config.model.name;
  if (models::is_model_name(model)) {
    try {
      return models::model_label(architecture_of(config));
    } catch (const std::invalid_argument&) {
      return model.substr(model.find(':') + 1);  // check() refuses it
    }
  }
  const std::filesystem::path path(model);
  const std::filesystem::path name = path.has_filename() ? path.filename() : path.parent_path().filename();
  return name.extension() == ".pt" || name.extension() == ".safetensors" ? name.stem().string() : name.string();
}

DivergenceOptions divergence_of(const TrainConfig& config) {
  DivergenceOptions options = config.divergence;
  if (!models::is_model_name(config.model.name)) {
    options.plateau_drop = 0;
  }
  return options;
}

LearningRateSchedule schedule_of(const TrainConfig& config) {
  return {config.schedule.name, config.steps, config.schedule.warmup, config.schedule.decay,
          config.schedule.final_fraction};
}

models::GptConfig architecture_of(const TrainConfig& config) {
  const auto& wanted = config.model;
  try {
    models::GptConfig result = models::parse_model_name(
        wanted.name, wanted.vocab_size > 0 ? std::optional<int64_t>(wanted.vocab_size) : std::nullopt);
    const bool grouped = result.n_kv_heads != result.n_heads;
    result.dim = wanted.dim > 0 ? wanted.dim : result.dim;
    result.n_layers = wanted.n_layers > 0 ? wanted.n_layers : result.n_layers;
    result.n_heads = wanted.n_heads > 0 ? wanted.n_heads : result.n_heads;
    result.n_kv_heads = wanted.n_kv_heads > 0 ? wanted.n_kv_heads : (grouped ? result.n_kv_heads : result.n_heads);
    result.head_dim = result.dim / result.n_heads;
    if (wanted.ffn_hidden_dim > 0) {
      result.ffn_hidden_dim = wanted.ffn_hidden_dim;
    } else if (wanted.dim > 0) {
      constexpr int64_t multiple_of =
          32;  // of the official sizes 256, which would widen small models out of proportion
      result.ffn_hidden_dim = result.activation == models::Activation::silu_gate
                                  ? models::swiglu_hidden_dim(result.dim, std::nullopt, multiple_of)
                                  : 4 * result.dim;
    }
    if (config.data.seq_len > result.max_seq_len) {
      throw std::runtime_error(fmt::format("data.seq_len is {}, longer than the {} positions of {}",
                                           config.data.seq_len, result.max_seq_len, wanted.name));
    }
    models::validate(result);
    return result;
  } catch (const std::runtime_error& error) {
    throw std::invalid_argument(std::string("model: ") + error.what());
  }
}

}  // namespace hessian::experiments
