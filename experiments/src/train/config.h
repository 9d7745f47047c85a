#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "config/fields.h"
#include "hessian/models/config.h"
#include "train/divergence.h"
#include "train/schedule.h"

namespace hessian::experiments {

/// What a training run is asked for. The defaults are the recipe of the SimpleGPT code (AdamW with betas 0.9 and 0.95,
/// decay of every parameter, clipping at 1, linear warm-up over the first hundredth and linear decay), at a size that a
/// laptop trains.
struct TrainConfig {
  std::string out;  ///< folder of the run; empty: the name of the configuration file without .toml
  int64_t steps = 1000;
  int64_t seed = 0;
  std::string device = "auto";
  std::string dtype = "float32";  ///< of the products; parameters stay in float32, or float64
  int64_t threads = 0;            ///< 0: LibTorch's own number

  struct Model {
    std::string name = "new:llama2-20M-prenorm";
    // Instead of the named size's own; 0 leaves it. ffn_hidden_dim follows dim.
    int64_t vocab_size = 256;
    int64_t dim = 0;
    int64_t n_layers = 0;
    int64_t n_heads = 0;
    int64_t n_kv_heads = 0;
    int64_t ffn_hidden_dim = 0;
  } model;

  struct Data {
    std::string source = "builtin";
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
    int64_t max_iterations = 200;
    bool sharpness = false;
  } probe;

  DivergenceOptions divergence;
  bool stop_when_diverged = true;
};

/// Every key of a training configuration, bound to the members of `config`.
ConfigFields train_fields(TrainConfig& config);

/// Reads a configuration file and settings over the defaults, and checks the values.
/// \throws std::runtime_error, std::invalid_argument  one line, as read_config_file and check
TrainConfig load_train_config(const std::string& path, const std::vector<std::string>& settings);

/// \throws std::invalid_argument  "run.toml: optimizer.lr is -1, expected a positive number"
void check(const TrainConfig& config, const std::string& source);

/// The architecture asked for, where the model is a fresh one.
/// \throws std::invalid_argument  one line that names the key
models::GptConfig architecture_of(const TrainConfig& config);

/// Returns what a configuration's model is called: the label of a fresh model's architecture, such as
/// `llama2-0.9M-simplegpt`, or the name of a checkpoint's file or folder. A name that no fresh model has stays as it is.
std::string model_label(const TrainConfig& config);

/// What counts as divergence. Weights that come from a checkpoint have left the plateau of fresh ones before the run
/// began, so that criterion is off for them.
DivergenceOptions divergence_of(const TrainConfig& config);

/// The schedule that a configuration asks for.
LearningRateSchedule schedule_of(const TrainConfig& config);

}  // namespace hessian::experiments
