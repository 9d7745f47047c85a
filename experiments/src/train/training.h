#pragma once

#include <ATen/ATen.h>

#include <cstdint>
#include <string>

#include "distributed/process_group.h"
#include "hessian/models/forward.h"
#include "hessian/models/training_checkpoint.h"
#include "hessian/models/training_data.h"
#include "train/config.h"
#include "train/optimizer.h"
#include "train/parameter_shard.h"

namespace hessian::experiments {

/// Returns the type of the parameters. With bfloat16 only matrix products are rounded: weights stay in float32, because
/// small updates would be rounded away otherwise.
at::ScalarType parameter_dtype(const TrainConfig& config);

/// Measurements of one update.
struct UpdateRecord {
  double loss = 0;       ///< mean cross-entropy over the update's tokens, before the update, nats
  double lr = 0;         ///< learning rate of the update
  double grad_norm = 0;  ///< global norm of the gradient before clipping
};

/// A model in training: weights, optimizer state and position in the data, and the update that advances them. Reads and
/// writes no run files.
///
/// In a group of processes each has the whole model, processes its share of an update's sequences, and keeps the
/// optimizer state of its shard of the parameters (see ParameterShard). The sequences and their order do not depend on
/// the number of processes; the order of summation does. Every method that is not a plain accessor is collective.
class Training {
 public:
  /// \param model  initial weights; copied
  /// \throws std::invalid_argument  if an update's sequences cannot be divided equally among the processes
  Training(const TrainConfig& config, const models::Model& model, models::TrainingData data, at::Device device,
           ProcessGroup group = {});

  /// Makes one update: forward and backward passes (gradient accumulation), clipping, optimizer step.
  UpdateRecord update();

  /// Returns whether every weight is finite. Cost: one pass over the weights.
  bool weights_are_finite() const;

  /// Returns the mean cross-entropy over the held-out sequences, in nats.
  double validate() const;

  /// Returns the number of updates done.
  int64_t step() const { return optimizer_.updates(); }
  int64_t tokens_per_update() const;

  const models::Forward& forward() const { return forward_; }
  const models::TrainingData& data() const { return data_; }
  const Optimizer& optimizer() const { return optimizer_; }
  const ProcessGroup& group() const { return group_; }

  /// Returns the state of the run; tensors may share memory with it. Only the first process gets the optimizer's state.
  /// \param config_text  the run's configuration in TOML, stored with the state
  models::TrainingCheckpoint checkpoint(const std::string& config_text) const;

  /// Restores the state of a checkpoint.
  /// \param source  the checkpoint's path, for messages
  /// \throws std::runtime_error  if it belongs to another model or optimizer
  void restore(const models::TrainingCheckpoint& checkpoint, const std::string& source);

 private:
  /// Runs one batch forward and backward, and adds the gradient of `scale` times its mean loss to the parameters'
  /// gradients. Returns `scale` times the loss.
  double accumulate_gradient(const models::TokenBatch& batch, double scale);
  double sum_of_losses(const at::Tensor& tokens, const at::Tensor& targets) const;
  /// Returns the sum of a number over all processes.
  double sum_over_processes(double value) const;

  TrainConfig config_;
  at::Device device_;
  ProcessGroup group_;
  models::TrainingData data_;
  models::Forward forward_;
  ParameterShard shard_;
  Optimizer optimizer_;
  models::TokenBatch held_out_;
  int64_t sequences_seen_ = 0;
};

/// Seed that chooses the held-out sequences. It does not depend on the run's own seed, so that runs with different
/// seeds are validated on the same sequences.
inline constexpr uint64_t held_out_seed = 0;

}  // namespace hessian::experiments
