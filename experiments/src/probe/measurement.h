#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "distributed/process_group.h"
#include "probe/check.h"
#include "probe/memory_plan.h"
#include "probe/probe.h"
#include "probe/share.h"
#include "probe/subject.h"
#include "probe/time_plan.h"
#include "run_file/probe_layout.h"

namespace hessian::experiments {

/// Returns the layout of a probe's datasets: for each requested site, those of the requested layers that have it.
/// \throws std::invalid_argument  if a layer does not exist, or none of them has a site
ProbeLayoutOptions probe_layout(const ProbeOptions& options, const models::GptConfig& config, int64_t sequences);

/// Returns the memory that weights and residuals occupy.
HeldMemory held_memory(const ProbeSubject& subject, const ForwardRecord& record);

/// Draws one random position per sequence; the same seed gives the same positions.
std::vector<int64_t> draw_positions(const ProbeOptions& options, const ProbeSubject& subject);

/// Measures the rows of one probe: one row per requested site and layer. Measures as many layers of a site together as
/// fit into memory. The processes of a group share the work; all of them must make the same calls.
class ProbeMeasurement {
 public:
  /// Runs the model once and plans the memory, so that requests that cannot be met fail here.
  /// \param options  its `engine` must have a value
  /// \throws std::invalid_argument, std::runtime_error  as run_probe
  ProbeMeasurement(ProbeOptions options, ProbeSubject subject, at::Device device, const ProcessGroup& group = {});

  const ProbeSubject& subject() const { return subject_; }
  const ProbeLayoutOptions& layout() const { return layout_; }
  /// Results of the forward pass.
  const ForwardRecord& record() const { return record_; }
  /// Mean cross-entropy of each sequence, nats.
  const std::vector<double>& losses() const { return record_.losses; }
  /// The position of each sequence for Unit::token.
  const std::vector<int64_t>& positions() const { return positions_; }

  /// Returns the number of rounds, which measure() takes one by one.
  std::size_t rounds() const;
  /// Returns the number of rows of all rounds.
  std::size_t rows() const;
  /// Measures a round and returns all of its rows in every process: sites in the options' order, layers ascending. The
  /// numbers of a sequence whose forward pass overflowed are NaN, and it has not converged.
  std::vector<ProbeRow> measure(std::size_t round);
  /// Describes how the memory is used, a line per site.
  std::vector<std::string> plan_lines() const;
  /// Returns the planned peak memory, if there is a limit.
  std::optional<int64_t> planned_bytes() const;
  /// Estimates the duration of all rounds, if products were measured.
  std::optional<TimePlan> planned_time() const;

 private:
  /// Layers of a site that are measured together, ascending.
  struct Group {
    models::Site site;
    std::vector<int64_t> layers;
  };
  /// Plans the memory of each site, and divides its layers into groups.
  void plan(at::Device device);
  ProbeProblem problem_at(const Group& group) const;
  /// Returns whether this process measures a group.
  bool measures(std::size_t group) const;
  /// Measures this process's sequences of a group.
  void measure_share(const Group& group, std::span<ProbeRow> rows) const;
  /// Removes the results of this process's sequences whose forward pass overflowed.
  void forget_overflows(std::span<ProbeRow> rows) const;

  ProbeOptions options_;
  ProbeSubject subject_;
  ProcessGroup process_group_;
  ProbeShare share_;
  std::vector<int64_t> layers_;
  ProbeLayoutOptions layout_;
  ForwardRecord record_;
  std::vector<int64_t> positions_;
  CertificateOptions certificate_;
  std::map<models::Site, MemoryPlan> plans_;
  std::vector<Group> groups_;
  std::optional<ProductCheck> check_;
};

}  // namespace hessian::experiments
