#include "train/preconditioner.h"

#include <cmath>
#include <limits>
#include <memory>
#include <stdexcept>
#include <utility>
#include <vector>

#include "hessian/models/training_checkpoint.h"
#include "train/optimizer.h"

namespace hessian::experiments {
namespace {

/// E^T H E, where E consists of the columns of the identity with the given indices.
class SelectedOperator final : public LinearOperator {
 public:
  SelectedOperator(OperatorPtr op, const at::Tensor& indices)
      : op_(std::move(op)), indices_(indices.to(op_->vector_options().device())) {}

  int64_t problems() const override { return op_->problems(); }
  int64_t dim() const override { return indices_.numel(); }
  at::TensorOptions vector_options() const override { return op_->vector_options(); }

 private:
  at::Tensor do_apply(const at::Tensor& v, const ProblemIndices& problems) const override {
    const at::Tensor whole = at::zeros({v.size(0), v.size(1), op_->dim()}, v.options());
    whole.index_copy_(2, indices_, v);
    return op_->apply(whole, problems).index_select(2, indices_);
  }

  OperatorPtr op_;
  at::Tensor indices_;
};

}  // namespace

Preconditioner adam_preconditioner(const std::string& checkpoint) {
  const models::TrainingCheckpoint loaded = models::load_training_checkpoint(checkpoint);
  TrainConfig config;
  read_config_text(loaded.state.config, checkpoint, train_fields(config));
  Optimizer optimizer(config.optimizer, loaded.model.parameters);
  optimizer.restore(loaded.state.optimizer, checkpoint);
  Preconditioner preconditioner = optimizer.preconditioner();
  if (preconditioner.empty()) {
    throw std::runtime_error(checkpoint +
                             ": has no state of Adam to precondition with: it belongs to another optimizer, or was "
                             "saved before the first update");
  }
  return preconditioner;
}

MovedCoordinates moved_coordinates(const Preconditioner& preconditioner, const Parameters& parameters) {
  std::vector<at::Tensor> entries;
  for (const auto& [name, parameter] : parameters) {
    entries.push_back(preconditioner.diagonals.at(name).to(parameter.device(), parameter.scalar_type()).flatten());
  }
  const at::Tensor diagonal = at::cat(entries);
  MovedCoordinates moved;
  // Keeps coordinates whose second moment is NaN, so that the eigenvalues become NaN.
  moved.indices = (diagonal != std::numeric_limits<double>::infinity()).nonzero().flatten();
  moved.scale = diagonal.index_select(0, moved.indices).rsqrt() * std::sqrt(preconditioner.clip_factor);
  moved.left_out = diagonal.numel() - moved.indices.numel();
  return moved;
}

OperatorPtr preconditioned(OperatorPtr op, const MovedCoordinates& moved) {
  const at::Tensor scale = moved.scale.expand({op->problems(), -1});
  return rescaled(std::make_shared<SelectedOperator>(std::move(op), moved.indices), scale);
}

}  // namespace hessian::experiments
