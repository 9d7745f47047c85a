#include "curvature/sampled_labels.h"

#include <ATen/CPUGeneratorImpl.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <stdexcept>
#include <vector>

#include "hessian/evaluate.h"
#include "kernels/products.h"

namespace hessian {
namespace {

struct Head {
  CrossEntropyHead operation;
  ValueId input = 0;
  ValueId targets = 0;
};

Head head_of(const Program& program) {
  const ValueId step = program.output - program.n_inputs;
  const auto* head =
      step < 0 ? nullptr : std::get_if<CrossEntropyHead>(&program.steps.at(static_cast<std::size_t>(step)).operation);
  if (head == nullptr) {
    throw std::invalid_argument(
        "labels are drawn from the softmax of a cross-entropy, but the program's output is another operation");
  }
  const auto& inputs = program.steps[static_cast<std::size_t>(step)].inputs;
  if (inputs[1] >= program.n_inputs) {
    throw std::invalid_argument("labels replace targets, which must be an input of the program");
  }
  return {*head, inputs[0], inputs[1]};
}

/// Returns the input of the head for one sequence, [1, T, width].
at::Tensor input_of_head(const ParameterProblem& problem, const Head& head, int64_t sequence) {
  const std::vector<at::Tensor> inputs = problem.inputs_of(sequence, 1);
  if (head.input < problem.program.n_inputs) {
    return inputs[static_cast<std::size_t>(head.input)];
  }
  at::Tensor found;
  EvaluateOptions options;
  options.observe = [&](ValueId value, const at::Tensor& tensor) { found = value == head.input ? tensor : found; };
  evaluate(problem.program, problem.parameters, inputs, options);
  return found;
}

}  // namespace

void replace_targets(ParameterProblem& problem, int64_t count, uint64_t seed, int64_t max_logits) {
  const c10::NoGradGuard no_grad;
  const Head head = head_of(problem.program);
  const at::Tensor& weight = problem.parameters.at(head.operation.weight);
  const at::Tensor& targets = problem.inputs[static_cast<std::size_t>(head.targets)];
  const int64_t positions = targets.size(1);
  // Uses the CPU's generator on every device, so that labels differ between devices only by rounding.
  const at::Tensor uniform =
      at::rand({problem.sequences(), positions, count}, at::detail::createCPUGenerator(seed), at::dtype(at::kDouble))
          .to(targets.device());
  const at::Tensor labels = at::empty(uniform.sizes(), targets.options());
  const int64_t at_once = std::max<int64_t>(1, max_logits / weight.size(0));
  for (int64_t sequence = 0; sequence < problem.sequences(); ++sequence) {
    const at::Tensor x = input_of_head(problem, head, sequence);
    for (int64_t first = 0; first < positions; first += at_once) {
      const int64_t here = std::min(at_once, positions - first);
      at::Tensor z = times_transposed(x[0].narrow(0, first, here), weight).to(at::kDouble);
      if (head.operation.soft_cap != 0) {
        z = z.div_(head.operation.soft_cap).tanh_().mul_(head.operation.soft_cap);
      }
      const at::Tensor distribution = at::softmax(z, -1).cumsum(-1);
      // Inverse transform sampling: the first label whose cumulative probability exceeds a uniform number.
      const at::Tensor level = uniform[sequence].narrow(0, first, here) * distribution.narrow(1, -1, 1);
      labels[sequence]
          .narrow(0, first, here)
          .copy_(at::searchsorted(distribution, level.contiguous(), /*out_int32=*/false, /*right=*/true)
                     .clamp_max(weight.size(0) - 1));
    }
  }
  problem.inputs[static_cast<std::size_t>(head.targets)] = labels;
}

}  // namespace hessian
