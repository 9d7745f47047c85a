#include "probe/measurement.h"
#include "probe/memory_plan.h"
#include "probe/problem.h"
#include "probe/solver.h"
#include "spectrum/groups.h"

namespace hessian::experiments {
namespace {

GroupSource group_at(const SpectrumOptions& options, const ProbeSubject& subject, const ForwardRecord& record,
                     const ComputeMemory& memory, const std::vector<int64_t>& positions, const std::string& site_name,
                     int64_t layer) {
  const models::Site site = models::parse_site(site_name);
  const auto problem = [&options, &subject, &record, site, layer](int64_t length) {
    return probe_problem(options.probe.engine.value(), subject.forward, site, {layer},
                         record.residuals.at(layer).narrow(1, 0, length), subject.targets.narrow(1, 0, length));
  };
  const MemoryPlan plan = plan_memory(
      options.probe, memory, 1, subject.sequences(), subject.seq_len(),
      [&problem](int64_t /*layers*/, int64_t length) { return problem(length); }, held_memory(subject, record));
  const int64_t width = problem(1).x.size(-1);
  GroupSource source;
  source.group.name = site_name + "-" + std::to_string(layer);
  source.group.description = site_name + " of layer " + std::to_string(layer);
  source.group.problems = subject.sequences();
  source.group.dim = options.probe.unit == Unit::token ? width : width * subject.seq_len();
  source.max_basis = plan.max_basis;
  source.for_each_chunk = [&options, problem, plan, positions,
                           length = subject.seq_len()](const std::function<void(const GroupChunk&)>& visit) {
    for_each_chunk(options.probe, plan, problem(length), positions, [&visit](const SequenceChunk& chunk) {
      visit({chunk.op, chunk.problem_numbers});
    });
  };
  return source;
}

}  // namespace

std::vector<GroupSource> activation_groups(const SpectrumOptions& options, const ProbeSubject& subject,
                                           const ForwardRecord& record, const ComputeMemory& memory) {
  const ProbeLayoutOptions layout = probe_layout(options.probe, subject.forward.config(), subject.sequences());
  const std::vector<int64_t> positions = draw_positions(options.probe, subject);
  std::vector<GroupSource> groups;
  for (const ProbedSite& site : layout.sites) {
    for (const int64_t layer : site.layers) {
      groups.push_back(group_at(options, subject, record, memory, positions, site.name, layer));
    }
  }
  return groups;
}

}  // namespace hessian::experiments
