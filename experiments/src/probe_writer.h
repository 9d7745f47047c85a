#pragma once

#include "experiments/probe.h"
#include "experiments/probe_layout.h"

namespace experiments {

/// The run file of one probe.
class ProbeWriter {
 public:
  ProbeWriter(const ProbeOptions& options, const models::GptConfig& config, const std::string& device,
              ProbeLayoutOptions layout);

  void write_overview(int64_t step, const std::vector<double>& losses, const std::vector<int64_t>& positions);
  /// Writes and flushes one row.
  void write_row(const ProbeRow& row);
  void finish(int64_t peak_memory_bytes);

 private:
  ProbeLayoutOptions layout_;
  RunFileWriter writer_;
};

}  // namespace experiments
