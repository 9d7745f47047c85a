#pragma once

#include <cstdint>
#include <optional>

#include "probe/subject.h"
#include "run_file/probe_layout.h"
#include "train/config.h"
#include "train/training.h"
#include "train/writer.h"

namespace hessian::experiments {

/// Probes a training run: measures what hessian-probe measures, on the same held-out sequences every time.
class TrainProbe {
 public:
  /// \throws std::invalid_argument  if the configuration names a layer or site that the model lacks
  TrainProbe(const TrainConfig& config, const Training& training, at::Device device);

  const ProbeLayoutOptions& layout() const { return layout_; }

  /// Measures the current weights, and appends the results if there is a writer. Collective.
  void run(const Training& training, std::optional<TrainWriter>& writer) const;

 private:
  ProbeSubject subject_of(const Training& training) const;

  bool sharpness_;
  at::Device device_;
  ProbeOptions options_;
  models::TokenBatch sequences_;
  models::TokenBatch sharpness_sequences_;  // empty without sharpness
  int64_t sequences_at_once_;               // of the sharpness
  ProbeLayoutOptions layout_;
};

}  // namespace hessian::experiments
