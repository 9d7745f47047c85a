#include <benchmark/benchmark.h>

#include "subject.h"

// The cost of one Hessian-vector product, in gradients and in matrix products. All three are taken in turn within one
// loop, so that a slow moment of the machine hits them alike.

namespace {

using benchmarks::seconds_of;

void hvp(benchmark::State& state, const std::string& model, int64_t vocab_size, int64_t sequences, int64_t seq_len) {
  const benchmarks::Subject subject = benchmarks::make_subject(model, vocab_size, sequences, seq_len);
  const benchmarks::MatrixProducts products(subject);
  const hessian::BlockFunction f = subject.losses();
  const hessian::BlockIndices blocks = hessian::all_blocks(sequences);
  const hessian::HessianOperator op(f, subject.residual);
  const at::Tensor v = at::randn({sequences, 1, op.dim()});
  const auto gradient = [&] { hessian::value_and_gradient(f, subject.residual, blocks); };
  op.apply(v);  // records the graph
  gradient();
  products.run();

  double hvp_seconds = 0;
  double gradient_seconds = 0;
  double product_seconds = 0;
  for (auto _ : state) {
    const double seconds = seconds_of([&] { op.apply(v); });
    state.SetIterationTime(seconds);
    hvp_seconds += seconds;
    gradient_seconds += seconds_of(gradient);
    product_seconds += seconds_of([&] { products.run(); });
  }
  state.counters["hvp_over_gradient"] = hvp_seconds / gradient_seconds;
  state.counters["hvp_over_matmul"] = hvp_seconds / product_seconds;
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

}  // namespace
