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

/// The datasets that a probe of a model fills: the layers asked for that each site has.
/// \throws std::invalid_argument  if a layer does not exist, or a site has none of them
ProbeLayoutOptions probe_layout(const ProbeOptions& options, const models::GptConfig& config, int64_t sequences);

/// What weights and residuals take.
HeldMemory held_memory(const ProbeSubject& subject, const ForwardRecord& record);

/// A position of each sequence, drawn by the seed.
std::vector<int64_t> draw_positions(const ProbeOptions& options, const ProbeSubject& subject);

/// The rows of one probe: the sites and layers that the options ask for. The layers of a site are measured together, as
/// many as memory allows. The processes of a group share the work, and make the same calls.
class ProbeMeasurement {
 public:
  /// Runs the model once and plans the memory, so that whatever cannot be done is refused here.
  /// \param options  with the engine chosen
  /// \throws std::invalid_argument, std::runtime_error  as run_probe
  ProbeMeasurement(ProbeOptions options, ProbeSubject subject, at::Device device, const ProcessGroup& group = {});

  const ProbeSubject& subject() const { return subject_; }
  const ProbeLayoutOptions& layout() const { return layout_; }
  /// Mean cross-entropy of each sequence, nats.
  const std::vector<double>& losses() const { return record_.losses; }
  /// The position of each sequence that Unit::token looks at.
  const std::vector<int64_t>& positions() const { return positions_; }

  /// Number of times that rows are measured together.
  std::size_t rounds() const;
  /// Number of all rows.
  std::size_t rows() const;
  /// The rows of a round, whole in every process; layers ascend, and sites are in the order of the options.
  std::vector<ProbeRow> measure(std::size_t round);
  /// How the memory is used: a line for each site, and the most that a group was planned to take, where that is known.
  std::vector<std::string> plan_lines() const;
  std::optional<int64_t> planned_bytes() const;
  /// How long measure() is expected to take for all rounds, where a product was timed.
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
  /// Whether this process measures its share of a group.
  bool measures(std::size_t group) const;
  /// Measures this process's share of a group of its own.
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
