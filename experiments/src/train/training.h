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

/// What one update saw.
struct UpdateRecord {
  double loss = 0;       ///< mean cross-entropy over the update's tokens, before the update, nats
  double lr = 0;         ///< learning rate of the update
  double grad_norm = 0;  ///< global norm of the gradient before clipping
};

/// A model in training: weights, optimizer and place in the data, and what one update does to them. Knows nothing of
/// files or logs.
///
/// In a group of processes each has the whole model, runs its share of an update's sequences, and holds the optimizer's
/// state of its part of the parameters (see ParameterShard). Sequences and their order are those of one process alone;
/// sums over them are taken in another order. All processes make the same calls.
class Training {
 public:
  /// \param model  becomes the start; its tensors are copied
  /// \throws std::invalid_argument  if the processes cannot share an update's sequences equally
  Training(const TrainConfig& config, const models::Model& model, models::TrainingData data, at::Device device,
           ProcessGroup group = {});

  /// The next update: accumulation passes forward and backward, clipping, the optimizer.
  UpdateRecord update();

  /// Whether every weight is a number; cost: one pass over them.
  bool weights_are_finite() const;

  /// Mean cross-entropy over the held-out sequences, nats.
  double validate() const;

  /// Updates done.
  int64_t step() const { return optimizer_.updates(); }
  int64_t tokens_per_update() const;

  const models::Forward& forward() const { return forward_; }
  const models::TrainingData& data() const { return data_; }
  const Optimizer& optimizer() const { return optimizer_; }
  const ProcessGroup& group() const { return group_; }

  /// What the run is made of now; may share memory with it. The optimizer's state is in the first process's alone.
  models::TrainingCheckpoint checkpoint(const std::string& config_text) const;

  /// Goes on from a checkpoint.
  /// \throws std::runtime_error  if it is that of another model or optimizer
  void restore(const models::TrainingCheckpoint& checkpoint, const std::string& source);

 private:
  /// Forward and backward pass of one batch; the gradient of `scale` times its loss is added to that of the parameters.
  double accumulate_gradient(const models::TokenBatch& batch, double scale);
  double sum_of_losses(const at::Tensor& tokens, const at::Tensor& targets) const;
  int64_t sequences_per_update() const { return config_.data.accumulation * config_.data.batch_size; }
  /// The sum of a number over the processes.
  double total(double here) const;

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

/// Seed of the sequences that are held out, whatever the run's own: runs that differ in their seed are judged by the
/// same sequences.
inline constexpr uint64_t held_out_seed = 0;

}  // namespace hessian::experiments
