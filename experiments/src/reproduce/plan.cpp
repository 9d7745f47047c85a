#include <ATen/Parallel.h>

#include <algorithm>
#include <stdexcept>

#include "reproduce/reproduce.h"

namespace hessian::experiments {
namespace {

const std::vector<std::string> placements = {"prenorm", "preqknorm", "simplegpt"};

/// A model size, used for every family. The other numbers override the shape of the named size unless they are 0.
struct Size {
  const char* word;
  int64_t dim;
  int64_t n_layers;
  int64_t n_heads;
  const char* llama2_name;
};

/// Settings that the sweeps of a scale share.
struct Recipe {
  std::vector<std::string> families;
  std::vector<Size> sizes;
  std::size_t curvature_size;  ///< index of the size whose sites are all probed
  int64_t steps;
  int64_t warmup;
  int64_t seq_len;
  int64_t batch_size;
  int64_t accumulation;
  LrGrid lr;
  double factor;
  std::vector<int64_t> seeds;
  double curvature_lr;
  std::vector<int64_t> curvature_seeds;
};

Recipe recipe_of(ReproduceScale scale) {
  switch (scale) {
    case ReproduceScale::smoke:
      return {{"gpt2", "llama2", "llama3"},
              {{"small", 16, 1, 2, "20M"}, {"medium", 24, 2, 2, "20M"}, {"large", 32, 2, 2, "20M"}},
              1,
              20,
              2,
              32,
              4,
              1,
              {0x1p-6, 0x1p2, 0.25},
              4.0,
              {0},
              0x1p-6,
              {0, 1}};
    case ReproduceScale::cpu:
      return {{"gpt2", "llama2", "llama3"},
              {{"small", 64, 2, 2, "20M"}, {"medium", 128, 4, 4, "20M"}, {"large", 160, 6, 4, "20M"}},
              1,
              200,
              20,
              64,
              8,
              1,
              {0x1p-8, 0x1p2, 0.5},
              1.5,
              {0, 1},
              0x1p-7,
              {0, 1, 2}};
    default:
      return {{"llama2"},
              {{"134M", 0, 0, 0, "134M"}, {"271M", 0, 0, 0, "271M"}, {"1B", 0, 0, 0, "1B"}},
              0,
              1000,
              100,
              512,
              16,
              4,
              {0x1p-11, 0x1p-3, 0.5},
              1.5,
              {0},
              0x1p-10,
              {0, 1}};
  }
}

std::string model_name(const std::string& family, const Size& size, const std::string& placement) {
  const std::string named = family == "gpt2" ? "10M" : family == "llama3" ? "debugmodel" : size.llama2_name;
  return "new:" + family + "-" + named + "-" + placement;
}

TrainConfig train_config(const ReproduceOptions& options, const Recipe& recipe, const std::string& family,
                         const Size& size) {
  TrainConfig train;
  train.steps = recipe.steps;
  train.device = options.device;
  train.dtype = options.scale == ReproduceScale::gpu ? "bfloat16" : "float32";
  train.model.name = model_name(family, size, placements.front());
  // Text is read as bytes; token files need the vocabulary of the named size.
  train.model.vocab_size = options.data == "builtin" ? 256 : 0;
  train.model.dim = size.dim;
  train.model.n_layers = size.n_layers;
  train.model.n_heads = size.n_heads;
  train.model.n_kv_heads = family == "llama3" ? size.n_heads / 2 : 0;
  train.data.source = options.data;
  train.data.seq_len = recipe.seq_len;
  train.data.batch_size = recipe.batch_size;
  train.data.accumulation = recipe.accumulation;
  train.schedule.warmup = recipe.warmup;
  train.validation.every = recipe.steps;
  train.validation.sequences = 64;
  train.log.update_every = 0;
  train.checkpoint.every = 0;
  train.probe.sequences = 2;
  train.probe.tolerance = 0.02;
  train.divergence.patience = std::max<int64_t>(5, recipe.steps / 10);
  return train;
}

SweepConfig sweep_config(const ReproduceOptions& options, const Recipe& recipe, const std::string& family,
                         const Size& size) {
  SweepConfig sweep;
  sweep.train = train_config(options, recipe, family, size);
  sweep.models.clear();
  for (const std::string& placement : placements) {
    sweep.models.push_back(model_name(family, size, placement));
  }
  // Small models gain more from concurrent runs than from threads; a GPU has room for one run.
  sweep.jobs = options.scale == ReproduceScale::gpu ? 1 : std::max(1, at::get_num_threads());
  return sweep;
}

PlannedSweep stability_sweep(const ReproduceOptions& options, const Recipe& recipe, const std::string& family,
                             const Size& size) {
  PlannedSweep planned{family + "-" + size.word, "deg", sweep_config(options, recipe, family, size)};
  planned.config.train.probe.every = recipe.steps;  // at the start and at the end
  planned.config.train.probe.sharpness = options.scale != ReproduceScale::gpu;
  planned.config.seeds = recipe.seeds;
  planned.config.lr = recipe.lr;
  planned.config.factor = recipe.factor;
  planned.config.train.out = (options.out / planned.name).string();
  return planned;
}

/// Plans runs at one rate at which all placements train well, with probes of every site.
PlannedSweep curvature_sweep(const ReproduceOptions& options, const Recipe& recipe, const std::string& family) {
  PlannedSweep planned{family + "-curvature", "bc",
                       sweep_config(options, recipe, family, recipe.sizes[recipe.curvature_size])};
  planned.config.train.probe.every = recipe.steps / 5;
  planned.config.train.probe.sites = {"all"};
  planned.config.train.probe.ends = "dominant";
  planned.config.seeds = recipe.curvature_seeds;
  planned.config.lr = {recipe.curvature_lr, recipe.curvature_lr, 1};
  planned.config.bisect = false;
  planned.config.train.out = (options.out / planned.name).string();
  return planned;
}

bool needs_any(const std::string& figures, const std::string& any_of) {
  return figures.find_first_of(any_of) != std::string::npos;
}

void plan_synthetic(ReproduceScale scale, ReproducePlan& plan) {
  plan.synthetic_norms = {1e-3, 1e-2, 1e-1, 1, 1e1, 1e2, 1e3};
  plan.synthetic_width = scale == ReproduceScale::smoke ? 64 : 256;
  const int64_t widest = scale == ReproduceScale::smoke ? 128 : 4096;
  for (int64_t width = 16; width <= widest; width *= 2) {
    plan.synthetic_widths.push_back(width);
  }
  plan.synthetic_seeds = scale == ReproduceScale::smoke ? 2 : 5;
}

void plan_step_times(const ReproduceOptions& options, const Recipe& recipe, ReproducePlan& plan) {
  std::vector<Size> sizes = {recipe.sizes.back()};
  if (options.scale == ReproduceScale::cpu) {
    sizes = {{"20M", 0, 0, 0, "20M"}, {"134M", 0, 0, 0, "134M"}};
  } else if (options.scale == ReproduceScale::gpu) {
    sizes = {recipe.sizes[1], recipe.sizes[2]};
  }
  for (const Size& size : sizes) {
    for (const std::string& placement : placements) {
      TrainConfig config = train_config(options, recipe, "llama2", size);
      config.model.name = model_name("llama2", size, placement);
      config.steps = 1'000'000;
      config.validation.every = 0;
      plan.step_time_configs.push_back(config);
    }
  }
  plan.step_time_rounds = options.scale == ReproduceScale::smoke ? 3 : 7;
  plan.step_time_seconds = options.scale == ReproduceScale::smoke ? 0.2 : 3;
}

}  // namespace

const std::vector<std::string> reproduce_scale_words = {"smoke", "cpu", "gpu"};
const std::string reproduce_figures = "abcdefg";

const std::string& to_string(ReproduceScale scale) {
  return reproduce_scale_words.at(static_cast<std::size_t>(scale));
}

ReproduceScale parse_reproduce_scale(const std::string& word) {
  const auto found = std::find(reproduce_scale_words.begin(), reproduce_scale_words.end(), word);
  if (found == reproduce_scale_words.end()) {
    throw std::invalid_argument("'" + word + "' is not one of smoke, cpu, gpu");
  }
  return static_cast<ReproduceScale>(found - reproduce_scale_words.begin());
}

ReproducePlan reproduce_plan(const ReproduceOptions& options) {
  const Recipe recipe = recipe_of(options.scale);
  ReproducePlan plan;
  if (needs_any(options.figures, "a")) {
    plan_synthetic(options.scale, plan);
  }
  if (needs_any(options.figures, "f")) {
    plan_step_times(options, recipe, plan);
  }
  // Size by size, so that all families are covered equally if time runs out.
  if (needs_any(options.figures, "bc")) {
    for (const std::string& family : recipe.families) {
      plan.sweeps.push_back(curvature_sweep(options, recipe, family));
    }
  }
  if (needs_any(options.figures, "deg")) {
    for (const Size& size : recipe.sizes) {
      for (const std::string& family : recipe.families) {
        plan.sweeps.push_back(stability_sweep(options, recipe, family, size));
      }
    }
  }
  return plan;
}

}  // namespace hessian::experiments
