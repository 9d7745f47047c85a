#include <benchmark/benchmark.h>

#include <array>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "contenders.h"
#include "hessian/models/named_models.h"
#include "hessian/tape_operator.h"
#include "subject.h"

// Measures the cost of one Hessian-vector product by the tape and by double backward, in gradients and in matrix
// products. All run in turn within one loop, so that a slow moment of the machine affects all of them.

namespace hessian::benchmarks {
namespace {

constexpr int64_t several = 8;

void hvp(benchmark::State& state, const std::string& model, int64_t vocab_size, int64_t sequences, int64_t seq_len) {
  const Subject subject = make_subject(model, vocab_size, sequences, seq_len);
  const MatrixProducts products(subject);
  const ProblemFunction f = subject.losses();
  const ProblemIndices problems = all_problems(sequences);
  const HessianOperator autograd(f, subject.residual);
  const TapeOperator tape(subject.forward.losses_program(0), subject.forward.parameters(),
                          {subject.residual, subject.targets}, 0);
  const at::Tensor v = at::randn({sequences, several, tape.dim()});
  const at::Tensor first = v.narrow(1, 0, 1).contiguous();
  Contender one{[&] { tape.apply(first); }};
  Contender eight{[&] { tape.apply(v); }};
  Contender double_backward{[&] { autograd.apply(first); }};
  Contender gradient{[&] { value_and_gradient(f, subject.residual, problems); }};
  Contender matrix_products{[&] { products.run(); }};
  const std::array all = {&one, &eight, &double_backward, &gradient, &matrix_products};
  run_in_turn(state, all, one);
  state.counters["hvp_over_gradient"] = one.seconds / gradient.seconds;
  state.counters["hvp_over_matmul"] = one.seconds / matrix_products.seconds;
  state.counters["hvp8_over_matmul"] = eight.seconds / several / matrix_products.seconds;
  state.counters["autograd_over_gradient"] = double_backward.seconds / gradient.seconds;
  state.counters["autograd_over_matmul"] = double_backward.seconds / matrix_products.seconds;
}

BENCHMARK_CAPTURE(hvp, llama2_20M_prenorm_4x128_bytes, "new:llama2-20M-prenorm", 256, 4, 128)
    ->UseManualTime()
    ->Unit(benchmark::kMillisecond)
    ->MinTime(3);
BENCHMARK_CAPTURE(hvp, llama2_20M_simplegpt_4x128_bytes, "new:llama2-20M-simplegpt", 256, 4, 128)
    ->UseManualTime()
    ->Unit(benchmark::kMillisecond)
    ->MinTime(3);
BENCHMARK_CAPTURE(hvp, llama2_20M_prenorm_4x128, "new:llama2-20M-prenorm", 0, 4, 128)
    ->UseManualTime()
    ->Unit(benchmark::kMillisecond)
    ->MinTime(3);
BENCHMARK_CAPTURE(hvp, gpt2_124M_prenorm_2x128_bytes, "new:gpt2-124M-prenorm", 256, 2, 128)
    ->UseManualTime()
    ->Unit(benchmark::kMillisecond)
    ->MinTime(3);

/// Measures the time of one product at four sizes, each twice the previous one. `growth_N` is the time at N times the
/// smallest size divided by N times the time at the smallest size: 1 if the cost is linear, less if larger products run
/// faster.
void growth(benchmark::State& state, const std::function<std::function<void()>(int64_t factor)>& work_at) {
  constexpr std::array<int64_t, 4> factors = {1, 2, 4, 8};
  std::array<Contender, factors.size()> contenders;
  for (std::size_t i = 0; i < factors.size(); ++i) {
    contenders[i].work = work_at(factors[i]);
    contenders[i].work();
  }
  for (auto _ : state) {
    for (Contender& contender : contenders) {
      contender.seconds += seconds_of(contender.work);
    }
    state.SetIterationTime(contenders.back().seconds);
  }
  for (std::size_t i = 1; i < factors.size(); ++i) {
    state.counters["growth_" + std::to_string(factors[i])] =
        contenders[i].seconds / (static_cast<double>(factors[i]) * contenders[0].seconds);
  }
}

/// Returns a function that multiplies with k random vectors per sequence of a fresh model.
std::function<void()> product_of(int64_t layers, int64_t sequences, int64_t k) {
  models::GptConfig config = models::parse_model_name("new:llama2-20M-prenorm", 256);
  config.n_layers = layers;
  const Subject subject = make_subject(config, sequences, 128);
  const auto op = std::make_shared<TapeOperator>(subject.forward.losses_program(0), subject.forward.parameters(),
                                                 std::vector<at::Tensor>{subject.residual, subject.targets}, 0);
  const at::Tensor v = at::randn({sequences, k, op->dim()});
  return [op, v] { op->apply(v); };
}

void growth_in_layers(benchmark::State& state) {
  growth(state, [](int64_t factor) { return product_of(2 * factor, 4, 1); });
}
void growth_in_sequences(benchmark::State& state) {
  growth(state, [](int64_t factor) { return product_of(4, 2 * factor, 1); });
}
void growth_in_vectors(benchmark::State& state) {
  growth(state, [](int64_t factor) { return product_of(4, 4, factor); });
}
BENCHMARK(growth_in_layers)->UseManualTime()->Unit(benchmark::kMillisecond)->Iterations(8);
BENCHMARK(growth_in_sequences)->UseManualTime()->Unit(benchmark::kMillisecond)->Iterations(8);
BENCHMARK(growth_in_vectors)->UseManualTime()->Unit(benchmark::kMillisecond)->Iterations(8);

}  // namespace
}  // namespace hessian::benchmarks
