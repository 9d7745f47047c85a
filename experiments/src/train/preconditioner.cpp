#include "train/preconditioner.h"

#include <stdexcept>
#include <vector>

#include "hessian/models/training_checkpoint.h"
#include "train/optimizer.h"

namespace hessian::experiments {

Parameters adam_preconditioner(const std::string& checkpoint) {
  const models::TrainingCheckpoint loaded = models::load_training_checkpoint(checkpoint);
  TrainConfig config;
  read_config_text(loaded.state.config, checkpoint, train_fields(config));
  Optimizer optimizer(config.optimizer, loaded.model.parameters);
  optimizer.restore(loaded.state.optimizer, checkpoint);
  const std::vector<at::Tensor> diagonals = optimizer.preconditioner();
  if (diagonals.empty()) {
    throw std::runtime_error(checkpoint +
                             ": has no state of Adam to precondition with: it belongs to another optimizer, or was "
                             "saved before the first update");
  }
  Parameters by_name;
  std::size_t next = 0;
  for (const auto& [name, parameter] : loaded.model.parameters) {
    by_name.add(name, diagonals[next++]);
  }
  return by_name;
}

}  // namespace hessian::experiments
