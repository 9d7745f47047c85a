#pragma once

#include <cstdint>
#include <optional>

#include "probe/subject.h"
#include "run_file/probe_layout.h"
#include "train/config.h"
#include "train/training.h"
#include "train/writer.h"

namespace hessian::experiments {

/// The probes of a training run: the same measurement as hessian-probe's, on held-out sequences that stay the same.
class TrainProbe {
 public:
  /// \throws std::invalid_argument  if a layer or site is asked for that the model does not have
  TrainProbe(const TrainConfig& config, const Training& training, at::Device device);

  const ProbeLayoutOptions& layout() const { return layout_; }

  /// Measures the model as it is and writes a row of everything, where there is a writer.
  void run(const Training& training, std::optional<TrainWriter>& writer) const;

 private:
  ProbeSubject subject_of(const Training& training) const;

  bool sharpness_;
  at::Device device_;
  ProbeOptions options_;
  models::TokenBatch sequences_;
  ProbeLayoutOptions layout_;
};

}  // namespace hessian::experiments
