#include "train/config.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <stdexcept>

#include "config/dtype.h"
#include "config/suggested_key.h"
#include "hessian/models/named_models.h"
#include "probe/probe.h"
#include "tokens/token_file.h"
#include "train/expected_value.h"

namespace hessian::experiments {
namespace {

void expect_at_least(int64_t min, const char* key, int64_t value) {
  expect_value(value >= min, key, value, fmt::format("a whole number of at least {}", min));
}

void expect_positive(const char* key, double value) {
  expect_value(value > 0 && std::isfinite(value), key, value, "a positive number");
}

void expect_not_negative(const char* key, double value) {
  expect_value(value >= 0 && std::isfinite(value), key, value, "0 or a positive number");
}

void expect_fraction(const char* key, double value) {
  expect_value(value >= 0 && value < 1, key, value, "a number of at least 0 and below 1");
}

void expect_word(const char* key, const std::string& value, const std::vector<std::string>& known) {
  if (std::find(known.begin(), known.end(), value) == known.end()) {
    throw std::invalid_argument(fmt::format("{} is '{}', expected one of {}; did you mean '{}'?", key, value,
                                            fmt::join(known, ", "), nearest_word(value, known)));
  }
}

void check_model(const TrainConfig::Model& model) {
  expect_at_least(0, "model.vocab_size", model.vocab_size);
  expect_at_least(0, "model.dim", model.dim);
  expect_at_least(0, "model.n_layers", model.n_layers);
  expect_at_least(0, "model.n_heads", model.n_heads);
  expect_at_least(0, "model.n_kv_heads", model.n_kv_heads);
  expect_at_least(0, "model.head_dim", model.head_dim);
  expect_at_least(0, "model.ffn_hidden_dim", model.ffn_hidden_dim);
  expect_at_least(0, "model.window", model.window);
}

void check_data(const TrainConfig::Data& data) {
  if (!data.token_type.empty()) {
    expect_word("data.token_type", data.token_type, models::token_type_words);
  }
  expect_at_least(1, "data.seq_len", data.seq_len);
  expect_at_least(1, "data.batch_size", data.batch_size);
  expect_at_least(1, "data.accumulation", data.accumulation);
}

void check_optimizer(const TrainConfig::Optimizer& optimizer) {
  expect_word("optimizer.name", optimizer.name, {"adamw", "sgd"});
  expect_positive("optimizer.lr", optimizer.lr);
  expect_fraction("optimizer.beta1", optimizer.beta1);
  expect_fraction("optimizer.beta2", optimizer.beta2);
  expect_fraction("optimizer.momentum", optimizer.momentum);
  expect_not_negative("optimizer.eps", optimizer.eps);
  expect_not_negative("optimizer.weight_decay", optimizer.weight_decay);
  expect_word("optimizer.decay", optimizer.decay, {"all", "matrices"});
  expect_not_negative("optimizer.clip", optimizer.clip);
}

void check_schedule(const TrainConfig& config) {
  const auto& schedule = config.schedule;
  expect_word("schedule.name", schedule.name, schedule_words());
  expect_value(schedule.warmup >= 0 && schedule.warmup < config.steps, "schedule.warmup", schedule.warmup,
               fmt::format("0 to {}, fewer than the {} steps", config.steps - 1, config.steps));
  expect_value(schedule.final_fraction >= 0 && schedule.final_fraction <= 1, "schedule.final_fraction",
               schedule.final_fraction, "a number from 0 to 1");
  if (schedule.name == "wsd") {
    const int64_t max_decay = config.steps - schedule.warmup;
    expect_value(schedule.decay >= 1 && schedule.decay <= max_decay, "schedule.decay", schedule.decay,
                 fmt::format("1 to {}, the steps after the warm-up", max_decay));
  }
}

void check_probe(const TrainConfig::Probe& probe) {
  expect_at_least(0, "probe.every", probe.every);
  expect_at_least(1, "probe.sequences", probe.sequences);
  expect_at_least(1, "probe.max_iterations", probe.max_iterations);
  expect_at_least(0, "probe.sharpness_sequences", probe.sharpness_sequences);
  expect_word("probe.ends", probe.ends, ends_words);
  expect_positive("probe.tolerance", probe.tolerance);
  expect_positive("probe.certify", probe.certify);
  expect_value(probe.confidence > 0 && probe.confidence < 1, "probe.confidence", probe.confidence,
               "a number between 0 and 1");
  std::vector<std::string> sites = {"all"};
  for (const models::Site site : models::all_sites()) {
    sites.emplace_back(models::to_string(site));
  }
  for (const std::string& site : probe.sites) {
    expect_word("probe.sites", site, sites);
  }
  expect_value(!probe.sites.empty(), "probe.sites", "[]", "at least one site");
}

/// Returns the even number nearest to a width, at least 2: RoPE rotates pairs.
int64_t nearest_even(double width) {
  return std::max<int64_t>(2, 2 * std::llround(width / 2));
}

/// Returns the width of a head of a model of another shape. Its ratio to dim / n_heads is that of the size.
int64_t head_dim_of(const models::GptConfig& size, int64_t dim, int64_t n_heads) {
  if (dim == size.dim && n_heads == size.n_heads) {
    return size.head_dim;
  }
  if (size.head_dim * size.n_heads == size.dim) {
    return dim / n_heads;
  }
  const double ratio =
      static_cast<double>(size.head_dim) * static_cast<double>(size.n_heads) / static_cast<double>(size.dim);
  return nearest_even(ratio * static_cast<double>(dim) / static_cast<double>(n_heads));
}

/// Returns the number of key/value heads of a model with another number of heads.
int64_t n_kv_heads_of(const models::GptConfig& size, int64_t n_heads) {
  if (size.n_kv_heads == size.n_heads) {
    return n_heads;
  }
  if (n_heads % size.n_kv_heads == 0) {
    return size.n_kv_heads;
  }
  const int64_t group = size.n_heads / size.n_kv_heads;
  return n_heads % group == 0 ? n_heads / group : 1;
}

/// Changes the width of the heads, with what is a share of it.
void set_head_dim(models::GptConfig& config, int64_t head_dim) {
  const double ratio = static_cast<double>(head_dim) / static_cast<double>(config.head_dim);
  if (config.rotated_dim != 0) {
    config.rotated_dim = nearest_even(ratio * static_cast<double>(config.rotated_dim));
  }
  config.query_scalar *= ratio;
  config.head_dim = head_dim;
}

/// Gives a named size the shape that a configuration asks for.
void resize(models::GptConfig& config, const TrainConfig::Model& wanted) {
  const models::GptConfig size = config;
  config.dim = wanted.dim > 0 ? wanted.dim : size.dim;
  config.n_layers = wanted.n_layers > 0 ? wanted.n_layers : size.n_layers;
  config.n_heads = wanted.n_heads > 0 ? wanted.n_heads : size.n_heads;
  config.n_kv_heads = wanted.n_kv_heads > 0 ? wanted.n_kv_heads : n_kv_heads_of(size, config.n_heads);
  set_head_dim(config, wanted.head_dim > 0 ? wanted.head_dim : head_dim_of(size, config.dim, config.n_heads));
  if (wanted.ffn_hidden_dim > 0) {
    config.ffn_hidden_dim = wanted.ffn_hidden_dim;
  } else if (wanted.dim > 0) {
    // The official sizes round to a multiple of 256, which would make small models disproportionately wide.
    constexpr int64_t multiple_of = 32;
    config.ffn_hidden_dim =
        is_gated(config.activation) ? models::swiglu_hidden_dim(config.dim, std::nullopt, multiple_of) : 4 * config.dim;
  }
  config.window = wanted.window > 0 ? wanted.window : size.window;
  config.window_pattern = wanted.window_pattern.empty() ? size.window_pattern : wanted.window_pattern;
  config.rope_pattern = wanted.rope_pattern.empty() ? size.rope_pattern : wanted.rope_pattern;
}

void check_values(const TrainConfig& config) {
  check_model(config.model);
  expect_at_least(1, "steps", config.steps);
  expect_at_least(0, "seed", config.seed);
  constexpr int64_t max_threads = 1024;  // a mistyped larger number could exhaust the machine
  expect_value(config.threads >= 0 && config.threads <= max_threads, "threads", config.threads,
               fmt::format("a whole number from 0 to {}", max_threads));
  expect_word("dtype", config.dtype, {"float32", "bfloat16", "float64"});
  check_data(config.data);
  check_optimizer(config.optimizer);
  check_schedule(config);
  expect_at_least(0, "validation.every", config.validation.every);
  expect_at_least(1, "validation.sequences", config.validation.sequences);
  expect_at_least(0, "log.update_every", config.log.update_every);
  expect_at_least(0, "checkpoint.every", config.checkpoint.every);
  expect_at_least(1, "checkpoint.keep", config.checkpoint.keep);
  check_probe(config.probe);
  check(config.divergence);
  if (models::is_model_name(config.model.name)) {
    architecture_of(config);
  }
}

}  // namespace

ConfigFields train_fields(TrainConfig& c) {
  return {
      {"out", &c.out, "folder of the run; empty: the configuration file's name without .toml"},
      {"steps", &c.steps, "updates"},
      {"seed", &c.seed, "for initial weights and the order of the data"},
      {"device", &c.device, "auto, cpu, cuda or cuda:N"},
      {"dtype", &c.dtype, "float32; bfloat16: matrix products only (autocast); float64"},
      {"threads", &c.threads, "CPU threads; 0: all"},
      {"model.name", &c.model.name, "new:FAMILY-SIZE[-PLACEMENT], or a checkpoint to start from"},
      {"model.vocab_size", &c.model.vocab_size, "of a new model; 0: as its size has it"},
      {"model.dim", &c.model.dim, "of a new model; 0: as its size has it"},
      {"model.n_layers", &c.model.n_layers, "of a new model; 0: as its size has it"},
      {"model.n_heads", &c.model.n_heads, "of a new model; 0: as its size has it"},
      {"model.n_kv_heads", &c.model.n_kv_heads, "of a new model; 0: as its size has it, or n_heads"},
      {"model.head_dim", &c.model.head_dim, "of a new model; 0: derived from dim and n_heads as in its size"},
      {"model.ffn_hidden_dim", &c.model.ffn_hidden_dim, "of a new model; 0: derived from dim"},
      {"model.window", &c.model.window, "positions that attention sees in layers with a window; 0: as its size has it"},
      {"model.window_pattern", &c.model.window_pattern,
       "w (window) or f (full) for each layer, repeated over the layers; empty: as its size has it"},
      {"model.rope_pattern", &c.model.rope_pattern,
       "r (rotated) or n (not) for each layer, repeated over the layers; empty: as its size has it"},
      {"data.source", &c.data.source,
       "builtin, text (a file, a folder, or several with commas between them, in this order), tokens (.bin), or a "
       ".safetensors with tokens and targets; the last tenth is held out"},
      {"data.tokenizer", &c.data.tokenizer,
       "file or folder of the tokenizer for text; bytes: a token per byte; empty: that of the checkpoint to start "
       "from, or a "
       "token per byte for a new model"},
      {"data.token_type", &c.data.token_type,
       "of tokens (.bin) without a header: uint8, uint16, uint32, int32 or int64; empty: uint16"},
      {"data.seq_len", &c.data.seq_len, "tokens per sequence"},
      {"data.batch_size", &c.data.batch_size, "sequences per forward and backward pass"},
      {"data.accumulation", &c.data.accumulation, "forward and backward passes per update"},
      {"optimizer.name", &c.optimizer.name, "adamw or sgd"},
      {"optimizer.lr", &c.optimizer.lr, "peak learning rate"},
      {"optimizer.beta1", &c.optimizer.beta1, "AdamW only"},
      {"optimizer.beta2", &c.optimizer.beta2, "AdamW only"},
      {"optimizer.eps", &c.optimizer.eps, "AdamW only"},
      {"optimizer.momentum", &c.optimizer.momentum, "SGD only"},
      {"optimizer.weight_decay", &c.optimizer.weight_decay, "decoupled for AdamW, an L2 term for SGD"},
      {"optimizer.decay", &c.optimizer.decay, "parameters with weight decay: all, or matrices only"},
      {"optimizer.clip", &c.optimizer.clip, "maximum global gradient norm; 0: no clipping"},
      {"schedule.name", &c.schedule.name, "linear, cosine, constant or wsd"},
      {"schedule.warmup", &c.schedule.warmup, "steps of linear warm-up"},
      {"schedule.decay", &c.schedule.decay, "steps of the linear decay at the end of wsd"},
      {"schedule.final_fraction", &c.schedule.final_fraction,
       "final learning rate of linear, cosine and wsd, relative to the peak"},
      {"validation.every", &c.validation.every, "steps between validations; also one at the end; 0: none"},
      {"validation.sequences", &c.validation.sequences, "held-out sequences, the same every time"},
      {"log.update_every", &c.log.update_every, "steps between measurements of update and parameter RMS; 0: none"},
      {"checkpoint.every", &c.checkpoint.every, "steps between checkpoints; also one at the end; 0: none"},
      {"checkpoint.keep", &c.checkpoint.keep, "number of latest checkpoints to keep"},
      {"probe.every", &c.probe.every, "steps between probes; also one at start and end; 0: none"},
      {"probe.layers", &c.probe.layers, "all, or layers such as 0,3,5-7"},
      {"probe.sites", &c.probe.sites, "residual, attn_in, attn_proj_in, ffn_in, ffn_down_in, or all"},
      {"probe.sequences", &c.probe.sequences, "held-out sequences, the same every time"},
      {"probe.ends", &c.probe.ends, "ends of the spectrum: dominant, which determines the norm, or both"},
      {"probe.tolerance", &c.probe.tolerance, "largest residual norm, relative to the spectral norm"},
      {"probe.certify", &c.probe.certify, "largest distance of a norm's upper bound, relative to the norm"},
      {"probe.confidence", &c.probe.confidence,
       "probability with which all upper bounds of the run's norms hold, and likewise those of its sharpness"},
      {"probe.max_iterations", &c.probe.max_iterations, "maximum Hessian-vector products per eigenproblem"},
      {"probe.sharpness", &c.probe.sharpness,
       "also the largest eigenvalue of the parameter Hessian, bare and preconditioned"},
      {"probe.sharpness_sequences", &c.probe.sharpness_sequences,
       "held-out sequences of the sharpness; 0: as many as an update has"},
      {"divergence.margin", &c.divergence.margin, "nats above the best smoothed loss that count as divergence"},
      {"divergence.patience", &c.divergence.patience, "consecutive steps above the margin"},
      {"divergence.smoothing", &c.divergence.smoothing, "length of the running median in steps, odd"},
      {"divergence.plateau_drop", &c.divergence.plateau_drop,
       "nats by which a new model's loss must fall below its initial value; 0: off"},
      {"divergence.plateau_steps", &c.divergence.plateau_steps, "step by which it must have fallen; 0: the last"},
      {"divergence.stop", &c.stop_when_diverged, "stop the run once it has diverged"},
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
  try {
    check_values(config);
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
      return model.substr(model.find(':') + 1);  // not an error here, because check() refuses such a name
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

int64_t sequences_per_update(const TrainConfig& config) {
  return config.data.batch_size * config.data.accumulation;
}

int64_t sharpness_sequences(const TrainConfig& config) {
  return config.probe.sharpness_sequences > 0 ? config.probe.sharpness_sequences : sequences_per_update(config);
}

std::vector<std::string> sharpness_warnings(const TrainConfig& config) {
  const int64_t sequences = sharpness_sequences(config);
  if (!config.probe.sharpness || sequences >= sequences_per_update(config)) {
    return {};
  }
  return {
      fmt::format("probe.sharpness_sequences is {}, fewer than the {} of an update: the sharpness of few sequences is "
                  "biased upwards",
                  sequences, sequences_per_update(config))};
}

LearningRateSchedule schedule_of(const TrainConfig& config) {
  return {config.schedule.name, config.steps, config.schedule.warmup, config.schedule.decay,
          config.schedule.final_fraction};
}

void check_seq_len(const TrainConfig& config, const models::GptConfig& architecture) {
  if (config.data.seq_len > architecture.max_seq_len) {
    throw std::invalid_argument(fmt::format("data.seq_len is {}, longer than the {} positions of {}",
                                            config.data.seq_len, architecture.max_seq_len, config.model.name));
  }
}

models::GptConfig architecture_of(const TrainConfig& config) {
  const auto& wanted = config.model;
  try {
    models::GptConfig result = models::parse_model_name(
        wanted.name, wanted.vocab_size > 0 ? std::optional<int64_t>(wanted.vocab_size) : std::nullopt);
    resize(result, wanted);
    check_seq_len(config, result);
    models::validate(result);
    return result;
  } catch (const std::runtime_error& error) {
    throw std::invalid_argument(std::string("model: ") + error.what());
  }
}

}  // namespace hessian::experiments
