#pragma once

#include <chrono>
#include <filesystem>
#include <string>
#include <vector>

#include "hessian/run_file.h"
#include "probe/probe.h"
#include "run_file/train_layout.h"
#include "train/sharpness.h"
#include "train/training.h"

namespace hessian::experiments {

/// Writes the run file of a training run.
class TrainWriter {
 public:
  /// Creates the file.
  static TrainWriter create(const std::filesystem::path& path, const RunInfo& info, const TrainLayoutOptions& layout,
                            bool overwrite);

  /// Continues a file, keeping the rows up to a step.
  static TrainWriter continue_from(const std::filesystem::path& path, const RunInfo& info,
                                   const TrainLayoutOptions& layout, int64_t step);

  void write_update(int64_t step, int64_t tokens_per_update, const UpdateRecord& record, double seconds);
  void write_validation(int64_t step, double loss);
  void write_update_rms(int64_t step, const std::vector<double>& update_rms, const std::vector<double>& parameter_rms);
  /// \param sharpness  bare and preconditioned, if the layout has them; otherwise empty
  void write_probe(int64_t step, const std::vector<double>& losses, const std::vector<ProbeRow>& rows,
                   const std::vector<Sharpness>& sharpness);

  /// Writes all buffered rows to the file, so that readers see them and they survive the end of this process.
  void flush() { writer_.flush(); }
  /// Flushes if at least a second has passed since the last flush: a flush takes longer than a step of a small model.
  void flush_periodically();
  void finish(int64_t peak_memory_bytes);

 private:
  TrainWriter(RunFileWriter writer, TrainLayoutOptions layout);

  RunFileWriter writer_;
  TrainLayoutOptions layout_;
  std::chrono::steady_clock::time_point last_flush_;
};

}  // namespace hessian::experiments
