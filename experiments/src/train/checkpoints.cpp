#include "train/checkpoints.h"

#include "config/model_option.h"
#include "io/atomic_file.h"

namespace hessian::experiments {

namespace fs = std::filesystem;

std::vector<fs::path> TrainCheckpoints::list() const {
  return list_checkpoints(folder_);
}

fs::path TrainCheckpoints::save(const models::TrainingCheckpoint& checkpoint) const {
  fs::path path = folder_ / checkpoint_name(checkpoint.state.step);
  models::save_training_checkpoint(checkpoint, path.string());
  remove_surplus();
  return path;
}

void TrainCheckpoints::remove_surplus() const {
  models::remove_half_written(folder_, checkpoint_prefix);
  const auto all = list();
  for (std::size_t i = 0; i + static_cast<std::size_t>(keep_) < all.size(); ++i) {
    std::error_code error;  // ignored: a checkpoint that cannot be removed does no harm
    fs::remove(all[i], error);
  }
}

void TrainCheckpoints::remove_all() const {
  for (const fs::path& path : list()) {
    fs::remove(path);
  }
}

}  // namespace hessian::experiments
