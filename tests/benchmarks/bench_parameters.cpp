#include <benchmark/benchmark.h>
#include <c10/core/GradMode.h>
#include <torch/csrc/autograd/autograd.h>

#include <array>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "contenders.h"
#include "hessian/host_memory.h"
#include "hessian/models/named_models.h"
#include "hessian/parameter_operator.h"

// Measures the cost of one product with the Hessian or the Gauss-Newton matrix of all parameters, in gradients of all
// parameters. All run in turn within one loop, so that a slow moment of the machine affects all of them.

namespace hessian::benchmarks {
namespace {

constexpr int64_t several = 4;

struct Batch {
  models::Model model;
  at::Tensor tokens;
  at::Tensor targets;
};

/// Returns a function that computes the gradient of the mean loss with respect to all parameters by autograd.
std::function<void()> gradient_of(const Batch& batch, Derivatives derivatives) {
  std::vector<at::Tensor> leaves;
  models::Model model{batch.model.config, {}};
  for (const auto& [name, tensor] : batch.model.parameters) {
    leaves.push_back(tensor.detach().requires_grad_());
    model.parameters.add(name, leaves.back());
  }
  const models::Forward forward(model, Numerics::wide, derivatives);
  return [=] {
    const c10::AutoGradMode recording_on(true);
    const at::Tensor loss = forward.losses(0, forward.embed(batch.tokens), batch.targets).mean();
    torch::autograd::grad({loss}, leaves);
  };
}

ParameterOperator operator_of(const Batch& batch, Curvature curvature) {
  ParameterOperatorOptions options;
  options.curvature = curvature;
  return ParameterOperator(
      {models::Forward(batch.model).whole_program(), batch.model.parameters, {batch.tokens, batch.targets}, {}},
      options);
}

void parameter_hvp(benchmark::State& state, const std::string& name, int64_t vocab_size, int64_t sequences,
                   int64_t seq_len) {
  keep_freed_memory();  // as the programs do
  const models::GptConfig config =
      models::parse_model_name(name, vocab_size > 0 ? std::optional<int64_t>(vocab_size) : std::nullopt);
  const auto tokens = [&] { return at::randint(config.vocab_size, {sequences, seq_len}, at::kLong); };
  const Batch batch{models::initialise_model(config, 1), tokens(), tokens()};
  const ParameterOperator curved = operator_of(batch, Curvature::hessian);
  const ParameterOperator gauss_newton = operator_of(batch, Curvature::gauss_newton);
  const at::Tensor v = at::randn({1, several, curved.dim()});
  const at::Tensor first = v.narrow(1, 0, 1).contiguous();
  Contender one{[&] { curved.apply(first); }};
  Contender four{[&] { curved.apply(v); }};
  Contender one_gauss_newton{[&] { gauss_newton.apply(first); }};
  Contender gradient{gradient_of(batch, Derivatives::any)};
  Contender fused_gradient{gradient_of(batch, Derivatives::first)};
  const std::array all = {&one, &four, &one_gauss_newton, &gradient, &fused_gradient};
  run_in_turn(state, all, one);
  state.counters["hvp_over_gradient"] = one.seconds / gradient.seconds;
  state.counters["hvp4_over_gradient"] = four.seconds / several / gradient.seconds;
  state.counters["gauss_newton_over_gradient"] = one_gauss_newton.seconds / gradient.seconds;
  state.counters["hvp_over_fused_gradient"] = one.seconds / fused_gradient.seconds;
}

BENCHMARK_CAPTURE(parameter_hvp, llama2_20M_prenorm_4x128_bytes, "new:llama2-20M-prenorm", 256, 4, 128)
    ->UseManualTime()
    ->Unit(benchmark::kMillisecond)
    ->MinTime(3);
BENCHMARK_CAPTURE(parameter_hvp, llama2_20M_simplegpt_4x128_bytes, "new:llama2-20M-simplegpt", 256, 4, 128)
    ->UseManualTime()
    ->Unit(benchmark::kMillisecond)
    ->MinTime(3);
BENCHMARK_CAPTURE(parameter_hvp, llama2_20M_prenorm_4x128, "new:llama2-20M-prenorm", 0, 4, 128)
    ->UseManualTime()
    ->Unit(benchmark::kMillisecond)
    ->MinTime(3);
BENCHMARK_CAPTURE(parameter_hvp, gpt2_124M_prenorm_2x128_bytes, "new:gpt2-124M-prenorm", 256, 2, 128)
    ->UseManualTime()
    ->Unit(benchmark::kMillisecond)
    ->MinTime(3);

}  // namespace
}  // namespace hessian::benchmarks
