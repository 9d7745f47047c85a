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

/// Returns the datasets of a probe: for each site, those of the requested layers that have it.
/// \throws std::invalid_argument  if a layer does not exist, or none of them has a site
ProbeLayoutOptions probe_layout(const ProbeOptions& options, const models::GptConfig& config, int64_t sequences);

/// Returns the memory of weights and residuals.
HeldMemory held_memory(const ProbeSubject& subject, const ForwardRecord& record);

/// Draws a position of each sequence from the seed.
std::vector<int64_t> draw_positions(const ProbeOptions& options, const ProbeSubject& subject);

/// Measures the rows of one probe: the requested sites and layers. As many layers of a site are measured together as fit
/// into memory. The processes of a group share the work; all of them must make the same calls.
class ProbeMeasurement {
 public:
  /// Runs the model once and plans the memory, so that requests that cannot be met fail here.
  /// \param options  with an engine
  /// \throws std::invalid_argument, std::runtime_error  as run_probe
  ProbeMeasurement(ProbeOptions options, ProbeSubject subject, at::Device device, const ProcessGroup& group = {});

  const ProbeSubject& subject() const { return subject_; }
  const ProbeLayoutOptions& layout() const { return layout_; }
  /// Mean cross-entropy of each sequence, nats.
  const std::vector<double>& losses() const { return record_.losses; }
  /// The position of each sequence for Unit::token.
  const std::vector<int64_t>& positions() const { return positions_; }

  /// Returns the number of calls of measure().
  std::size_t rounds() const;
  /// Returns the number of all rows.
  std::size_t rows() const;
  /// Measures the rows of a round, which every process returns complete. Layers ascend; sites are in the options' order.
  std::vector<ProbeRow> measure(std::size_t round);
  /// Describes how the memory is used, a line per site.
  std::vector<std::string> plan_lines() const;
  /// Returns the planned peak memory, if there is a limit.
  std::optional<int64_t> planned_bytes() const;
  /// Estimates the duration of all rounds, if products were measured.
  std::optional<TimePlan> planned_time() const;

 private:
  /// Some layers of a site, ascending.
  struct Group {
    models::Site site;
    std::vector<int64_t> layers;
  };
  /// Plans the memory of each site, and divides its layers into groups.
  void plan(at::Device device);
  ProbeProblem problem_at(const Group& group) const;
  /// Whether this process measures a group.
  bool measures(std::size_t group) const;
  /// Measures this process's sequences of a group.
  void measure_share(const Group& group, std::span<ProbeRow> rows) const;

  ProbeOptions options_;
  ProbeSubject subject_;
  ProcessGroup process_group_;
  ProbeShare share_;
  std::vector<int64_t> layers_;
  ProbeLayoutOptions layout_;
  ForwardRecord record_;
  std::vector<int64_t> positions_;
  std::map<models::Site, MemoryPlan> plans_;
  std::vector<Group> groups_;
  std::optional<ProductCheck> check_;
};

}  // namespace hessian::experiments
