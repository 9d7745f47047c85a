#pragma once

#include "probe/probe.h"
#include "run_file/probe_layout.h"

namespace hessian::experiments {

/// Returns the attributes of a run file of hessian-probe.
/// \param config_text  TOML text of all options that determine the results
RunInfo probe_run_info(const ProbeOptions& options, const ProbeOutput& output, const models::GptConfig& config,
                       const std::string& device, std::string config_text);

/// Appends a whole probe to a run file that was laid out for probes to be appended (ProbeLayoutOptions::probes = 0).
void append_probe(RunFileWriter& writer, const ProbeLayoutOptions& layout, int64_t step,
                  const std::vector<double>& losses, const std::vector<ProbeRow>& rows);

/// Writes the run file of one probe.
class ProbeWriter {
 public:
  /// \param options  with the defaults of data and device filled in
  ProbeWriter(const ProbeOptions& options, const ProbeOutput& output, const models::GptConfig& config,
              const std::string& device, ProbeLayoutOptions layout);

  void write_overview(int64_t step, const std::vector<double>& losses, const std::vector<int64_t>& positions);
  /// Writes and flushes one row.
  void write_row(const ProbeRow& row);
  void write_plan(const ProbeReport& report);
  /// Writes time and peak memory, and closes the file.
  void finish(const ProbeReport& report);

 private:
  ProbeLayoutOptions layout_;
  RunFileWriter writer_;
};

}  // namespace hessian::experiments
