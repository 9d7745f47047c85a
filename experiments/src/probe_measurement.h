#pragma once

#include <cstdint>
#include <map>
#include <vector>

#include "experiments/probe.h"
#include "experiments/probe_layout.h"
#include "probe_check.h"
#include "probe_solver.h"
#include "probe_subject.h"

namespace experiments {

/// The datasets that a probe of a model fills: the layers asked for that each site has.
/// \throws std::invalid_argument  if a layer does not exist, or a site has none of them
ProbeLayoutOptions probe_layout(const ProbeOptions& options, const models::GptConfig& config, int64_t sequences);

/// The rows of one probe: the sites and layers that the options ask for, measured one after the other.
class ProbeMeasurement {
 public:
  /// Runs the model once and plans the memory, so that whatever cannot be done is refused here. Keeps references to
  /// options and subject.
  /// \throws std::invalid_argument, std::runtime_error  as run_probe
  ProbeMeasurement(const ProbeOptions& options, const ProbeSubject& subject, at::Device device);

  const ProbeLayoutOptions& layout() const { return layout_; }
  /// Mean cross-entropy of each sequence, nats.
  const std::vector<double>& losses() const { return record_.losses; }
  /// The position of each sequence that Unit::token looks at.
  const std::vector<int64_t>& positions() const { return positions_; }

  std::size_t size() const { return targets_.size(); }
  /// Row `index`; layers ascend, and within a layer the sites are in the order of the options.
  ProbeRow measure(std::size_t index);

 private:
  /// A site of a layer.
  struct Target {
    models::Site site;
    int64_t layer;
  };
  ProbeProblem problem_at(const Target& target) const;

  const ProbeOptions& options_;
  const ProbeSubject& subject_;
  std::vector<int64_t> layers_;
  ProbeLayoutOptions layout_;
  ForwardRecord record_;
  std::vector<int64_t> positions_;
  std::vector<Target> targets_;
  std::map<models::Site, MemoryPlan> plans_;
  std::optional<ProductCheck> check_;
};

}  // namespace experiments
