#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <memory>
#include <stdexcept>

#include "hessian/memory.h"
#include "hessian/parameter_differences.h"
#include "hessian/parameter_operator.h"
#include "hessian/parameter_selection.h"
#include "probe/memory_plan.h"
#include "spectrum/groups.h"
#include "train/preconditioner.h"

namespace hessian::experiments {
namespace {

/// A glob as a part of a path: "all" for every parameter, and a dash for what a path cannot hold.
std::string name_of(const std::string& glob) {
  if (glob == "*") {
    return "all";
  }
  std::string name = glob;
  std::replace_if(
      name.begin(), name.end(),
      [](unsigned char c) { return std::isalnum(c) == 0 && c != '.' && c != '_' && c != '-'; }, '-');
  return name;
}

/// D of D H D with D = P^-1/2, [1, n].
at::Tensor adam_scale(const hessian::Parameters& preconditioner, const hessian::Parameters& varying) {
  std::vector<at::Tensor> entries;
  for (const auto& [name, parameter] : varying) {
    entries.push_back(preconditioner.at(name).to(parameter.device(), parameter.scalar_type()).rsqrt().flatten());
  }
  return at::cat(entries).unsqueeze(0);
}

hessian::OperatorPtr bare_matrix(const SpectrumOptions& options, const hessian::ParameterProblem& problem,
                                 int64_t memory_bytes) {
  if (options.matrix == CurvatureMatrix::fd_hessian) {
    // A gradient takes less than the tape of a product, which is what is measured.
    const hessian::ParameterOperator measured(problem, {hessian::Curvature::hessian, 0, 0, 0, memory_bytes, {}});
    return std::make_shared<hessian::ParameterDifferences>(problem, measured.sequences_at_once());
  }
  hessian::ParameterOperatorOptions matrix;
  matrix.memory_bytes = memory_bytes;
  switch (options.matrix) {
    case CurvatureMatrix::ggn:
      matrix.curvature = hessian::Curvature::gauss_newton;
      break;
    case CurvatureMatrix::mc_fisher:
      matrix.sampled_labels = 1;
      matrix.seed = options.probe.seed;
      matrix.curvature = hessian::Curvature::fisher;
      break;
    case CurvatureMatrix::fisher:
      matrix.curvature = hessian::Curvature::fisher;
      break;
    default:
      break;
  }
  return std::make_shared<hessian::ParameterOperator>(problem, matrix);
}

/// How memory is divided between a product and the vectors of the eigensolver.
struct Division {
  int64_t vectors = 0;
  int64_t product_bytes = 0;
};

/// A quarter for a product, and the rest for vectors, of which there are as many as help at most.
/// \param held  bytes that are taken already
/// \throws std::runtime_error  if those that are needed do not fit
Division divide(const SpectrumOptions& options, int64_t dim, int64_t element_bytes, int64_t allowed, int64_t held) {
  constexpr int64_t beside = 8;  // start vectors, products, and what the solvers hold of their own
  constexpr int64_t most = 64;
  const int64_t sought = 2 * std::min(options.top, dim) + 2 * options.block_width;
  const int64_t steps = options.density ? std::min(options.steps, dim) + 5 : 0;
  const int64_t needed = std::max({options.top > 0 ? sought : 0, steps, int64_t{4}}) + beside;
  const int64_t fit = (allowed - held) / 4 * 3 / (dim * element_bytes);
  if (fit < needed) {
    std::string enough = hessian::format_bytes(held + needed * dim * element_bytes / 3 * 4 + (int64_t{1} << 20));
    std::erase(enough, ' ');  // one word of a command line
    throw std::runtime_error(fmt::format(
        "{} vectors of {} parameters need {}, {} are allowed; give --memory {}, fewer --steps or --top, or fewer "
        "parameters",
        needed, dim, hessian::format_bytes(needed * dim * element_bytes), hessian::format_bytes(allowed), enough));
  }
  const int64_t vectors = std::min(std::max(most, needed), fit - beside);
  return {vectors, allowed - held - (vectors + beside) * dim * element_bytes};
}

}  // namespace

std::vector<GroupSource> parameter_groups(const SpectrumOptions& options, const ProbeSubject& subject,
                                          at::Device device) {
  constexpr int64_t where_unknown = int64_t{4} << 30;
  const int64_t allowed = allowed_bytes(options.probe, device).value_or(where_unknown);
  // What is free no longer has the weights; what the user allows is to hold them too.
  const int64_t held = options.probe.memory_bytes ? subject.weight_bytes : 0;
  // Before the run file is made, so that a checkpoint without it leaves none.
  const hessian::Parameters preconditioner =
      options.adam ? adam_preconditioner(options.probe.model) : hessian::Parameters();
  std::vector<GroupSource> groups;
  for (const std::string& glob : options.params) {
    hessian::ParameterProblem problem{subject.forward.whole_program(),
                                      subject.forward.parameters(),
                                      {subject.tokens, subject.targets},
                                      hessian::select_parameters(subject.forward.parameters(), {glob})};
    const hessian::Parameters varying = problem.varying();
    GroupSource source;
    source.group.name = name_of(glob);
    source.group.description = fmt::format("parameters '{}'", glob);
    source.group.dim = hessian::entries_of(varying);
    const Division division = divide(options, source.group.dim, varying.begin()->second.element_size(), allowed, held);
    source.max_basis = division.vectors;
    const at::Tensor scale = options.adam ? adam_scale(preconditioner, varying) : at::Tensor();
    source.for_each_part = [&options, problem, division, scale](const std::function<void(const GroupPart&)>& visit) {
      const hessian::OperatorPtr op = bare_matrix(options, problem, division.product_bytes);
      visit({scale.defined() ? hessian::rescaled(op, scale) : op, {0}});
    };
    groups.push_back(std::move(source));
  }
  const auto twice = [&groups](const GroupSource& source) {
    return std::count_if(groups.begin(), groups.end(),
                         [&source](const GroupSource& other) { return other.group.name == source.group.name; }) > 1;
  };
  const auto found = std::find_if(groups.begin(), groups.end(), twice);
  if (found != groups.end()) {
    throw std::invalid_argument("--params: two patterns have the name '" + found->group.name + "' in the run file");
  }
  return groups;
}

}  // namespace hessian::experiments
