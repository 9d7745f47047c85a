#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <memory>
#include <optional>
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

/// Returns a glob as a component of a path: "all" for "*"; characters that a path cannot contain become dashes.
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

OperatorPtr bare_matrix(const SpectrumOptions& options, const ParameterProblem& problem, int64_t memory_bytes) {
  if (options.matrix == CurvatureMatrix::fd_hessian) {
    // Finds how many sequences fit at once for a product of the tape, which takes more memory than a gradient.
    const ParameterOperator measured(problem, {Curvature::hessian, 0, 0, 0, memory_bytes, {}});
    return std::make_shared<ParameterDifferences>(problem, measured.sequences_at_once());
  }
  ParameterOperatorOptions matrix;
  matrix.memory_bytes = memory_bytes;
  switch (options.matrix) {
    case CurvatureMatrix::ggn:
      matrix.curvature = Curvature::gauss_newton;
      break;
    case CurvatureMatrix::mc_fisher:
      matrix.sampled_labels = 1;
      matrix.seed = options.probe.seed;
      matrix.curvature = Curvature::fisher;
      break;
    case CurvatureMatrix::fisher:
      matrix.curvature = Curvature::fisher;
      break;
    default:
      break;
  }
  return std::make_shared<ParameterOperator>(problem, matrix);
}

/// Division of memory between a product and the vectors of the eigensolver.
struct Division {
  int64_t vectors = 0;
  int64_t product_bytes = 0;
};

/// Gives a quarter of the memory to a product and the rest to vectors, up to the number that is useful.
/// \param held  bytes that are already in use
/// \throws std::runtime_error  if the vectors that are needed do not fit
Division divide(const SpectrumOptions& options, int64_t dim, int64_t element_bytes, int64_t allowed, int64_t held) {
  constexpr int64_t extra = 8;  // start vectors, products, and the solvers' own vectors
  constexpr int64_t max_useful = 64;
  const int64_t basis = 2 * std::min(options.top, dim) + 2 * options.block_width;
  const int64_t steps = options.density ? std::min(options.steps, dim) + 5 : 0;
  const int64_t needed = std::max({options.top > 0 ? basis : 0, steps, int64_t{4}}) + extra;
  const int64_t fit = (allowed - held) / 4 * 3 / (dim * element_bytes);
  if (fit < needed) {
    std::string enough = format_bytes(held + needed * dim * element_bytes / 3 * 4 + (int64_t{1} << 20));
    std::erase(enough, ' ');  // one word of a command line
    throw std::runtime_error(fmt::format(
        "{} vectors of {} parameters need {}, {} are allowed; give --memory {}, fewer --steps or --top, or fewer "
        "parameters",
        needed, dim, format_bytes(needed * dim * element_bytes), format_bytes(allowed), enough));
  }
  const int64_t vectors = std::min(std::max(max_useful, needed), fit - extra);
  return {vectors, allowed - held - (vectors + extra) * dim * element_bytes};
}

}  // namespace

std::vector<GroupSource> parameter_groups(const SpectrumOptions& options, const ProbeSubject& subject,
                                          const ComputeMemory& memory) {
  constexpr int64_t default_bytes = int64_t{4} << 30;
  const int64_t allowed = allowed_bytes(options.probe, memory).value_or(default_bytes);
  // A limit that the user sets includes the weights. The free memory does not, because they are loaded already.
  const int64_t held = options.probe.memory_bytes ? subject.weight_bytes : 0;
  // Reads this before the run file is created, so that a failure leaves no file.
  const Preconditioner preconditioner = options.adam ? adam_preconditioner(options.probe.model) : Preconditioner();
  std::vector<GroupSource> groups;
  for (const std::string& glob : options.params) {
    ParameterProblem problem{subject.forward.whole_program(),
                             subject.forward.parameters(),
                             {subject.tokens, subject.targets},
                             select_parameters(subject.forward.parameters(), {glob})};
    const Parameters varying = problem.varying();
    GroupSource source;
    source.group.name = name_of(glob);
    source.group.description = fmt::format("parameters '{}'", glob);
    source.group.dim = entries_of(varying);
    std::optional<MovedCoordinates> moved;
    if (options.adam) {
      moved = moved_coordinates(preconditioner, varying);
      source.group.dim = moved->indices.numel();
      if (source.group.dim == 0) {
        throw std::runtime_error(fmt::format("--adam: no update has moved any of the parameters '{}'", glob));
      }
      source.group.adam = AdamFactors{preconditioner.clip_factor, moved->left_out, moved->indices.cpu()};
    }
    const Division division = divide(options, source.group.dim, varying.begin()->second.element_size(), allowed, held);
    source.max_basis = division.vectors;
    source.for_each_chunk = [&options, problem, division, moved](const std::function<void(const GroupChunk&)>& visit) {
      const OperatorPtr op = bare_matrix(options, problem, division.product_bytes);
      visit({moved ? preconditioned(op, *moved) : op, {0}});
    };
    groups.push_back(std::move(source));
  }
  const auto twice = [&groups](const GroupSource& source) {
    return std::count_if(groups.begin(), groups.end(),
                         [&source](const GroupSource& other) { return other.group.name == source.group.name; }) > 1;
  };
  const auto found = std::find_if(groups.begin(), groups.end(), twice);
  if (found != groups.end()) {
    throw std::invalid_argument("--params: two globs have the name '" + found->group.name + "' in the run file");
  }
  return groups;
}

}  // namespace hessian::experiments
