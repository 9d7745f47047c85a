#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "config/fields.h"
#include "hessian/models/config.h"
#include "train/divergence.h"
#include "train/schedule.h"

namespace hessian::experiments {

/// Configuration of a training run. The defaults are the recipe of the SimpleGPT code (AdamW with betas 0.9 and 0.95,
/// weight decay of every parameter, clipping at 1, linear warm-up over the first hundredth of the steps, linear decay)
/// for a model that a laptop can train.
struct TrainConfig {
  std::string out;  ///< folder of the run; empty: the configuration file's name without .toml
  int64_t steps = 1000;
  int64_t seed = 0;
  std::string device = "auto";
  std::string dtype = "float32";  ///< type of matrix products; parameters are float64 if this is, otherwise float32
  int64_t threads = 0;            ///< CPU threads; 0: LibTorch's default

  struct Model {
    std::string name = "new:llama2-20M-prenorm";
    // These override the named size; 0 or an empty text keeps its value. architecture_of() says what follows from what.
    int64_t vocab_size = 256;
    int64_t dim = 0;
    int64_t n_layers = 0;
    int64_t n_heads = 0;
    int64_t n_kv_heads = 0;
    int64_t head_dim = 0;
    int64_t ffn_hidden_dim = 0;
    int64_t window = 0;
    std::string window_pattern = "";
    std::string rope_pattern = "";
  } model;

  struct Data {
    std::string source = "builtin";
    std::string tokenizer;
    std::string token_type;
    int64_t seq_len = 128;
    int64_t batch_size = 8;
    int64_t accumulation = 1;
  } data;

  struct Optimizer {
    std::string name = "adamw";
    double lr = 1e-3;
    double beta1 = 0.9;
    double beta2 = 0.95;
    double eps = 1e-8;
    double momentum = 0.9;
    double weight_decay = 0.1;
    std::string decay = "all";
    double clip = 1.0;
  } optimizer;

  struct Schedule {
    std::string name = "linear";
    int64_t warmup = 10;
    int64_t decay = 100;
    double final_fraction = 0.0;
  } schedule;

  struct Validation {
    int64_t every = 100;
    int64_t sequences = 32;
  } validation;

  struct Log {
    int64_t update_every = 100;
  } log;

  struct Checkpoint {
    int64_t every = 500;
    int64_t keep = 2;
  } checkpoint;

  struct Probe {
    int64_t every = 0;
    std::string layers = "all";
    std::vector<std::string> sites = {"residual"};
    int64_t sequences = 4;
    std::string ends = "both";
    double tolerance = 1e-2;
    double certify = 0.05;
    double confidence = 0.999;
    int64_t max_iterations = 200;
    bool sharpness = false;
    int64_t sharpness_sequences = 0;
  } probe;

  DivergenceOptions divergence;
  bool stop_when_diverged = true;
};

/// Returns every key of a training configuration, bound to the members of `config`.
ConfigFields train_fields(TrainConfig& config);

/// Reads a configuration file, applies settings of the form KEY=VALUE on top, and checks the values.
/// \throws std::runtime_error, std::invalid_argument  as read_config_file() and check()
TrainConfig load_train_config(const std::string& path, const std::vector<std::string>& settings);

/// Checks the values of a configuration.
/// \throws std::invalid_argument  "run.toml: optimizer.lr is -1, expected a positive number", where `source` is
///                                run.toml
void check(const TrainConfig& config, const std::string& source);

/// Returns the architecture of a new model: its named size, narrowed or widened by the keys of [model].
///
/// What has no key follows: the width of a head is to dim / n_heads as in the size (twice it in qwen3-0.6B, for example), the
/// rotated share of a head and query_scalar are to its width as in the size, a size with grouped queries keeps its number
/// of key/value heads, or the size of its groups if that number does not divide n_heads, and the feed-forward layer has the
/// usual width for its activation if dim is set. Patterns of layers are repeated over the layers.
/// Precondition: config.model.name names a new model, not a checkpoint.
/// \throws std::invalid_argument  one line that names the key
models::GptConfig architecture_of(const TrainConfig& config);

/// Checks that the model has enough positions for the configured sequence length.
/// \throws std::invalid_argument  "data.seq_len is 257, longer than the 256 positions of new:gpt2-10M-prenorm"
void check_seq_len(const TrainConfig& config, const models::GptConfig& architecture);

/// Returns the label of a configuration's model: that of a new model's architecture, such as `llama2-0.9M-simplegpt`,
/// or the name of a checkpoint's file or folder. For an unknown new model it is the name without "new:".
std::string model_label(const TrainConfig& config);

/// Returns the definition of divergence for a run. Weights from a checkpoint have left the initial plateau already, so
/// that criterion is disabled for them.
DivergenceOptions divergence_of(const TrainConfig& config);

/// Returns the number of sequences of an update.
int64_t sequences_per_update(const TrainConfig& config);

/// Returns the number of held-out sequences whose mean loss the sharpness is taken of: by default that of an update.
int64_t sharpness_sequences(const TrainConfig& config);

/// Returns a warning if the configured sharpness is that of fewer sequences than an update has, otherwise nothing.
std::vector<std::string> sharpness_warnings(const TrainConfig& config);

/// Returns the learning-rate schedule of a configuration.
LearningRateSchedule schedule_of(const TrainConfig& config);

}  // namespace hessian::experiments
