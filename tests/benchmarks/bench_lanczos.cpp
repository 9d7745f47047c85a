#include <benchmark/benchmark.h>

#include "hessian/lanczos.h"
#include "hessian/tape_operator.h"
#include "hessian/top_eigenpairs.h"
#include "subject.h"

// What Lanczos costs beside its Hessian-vector products, and what the layers of a model gain from being probed
// together.

namespace {

/// Passes products on, and adds up their time.
class TimedOperator final : public hessian::LinearOperator {
 public:
  explicit TimedOperator(const hessian::LinearOperator& op) : op_(op) {}
  int64_t problems() const override { return op_.problems(); }
  int64_t dim() const override { return op_.dim(); }
  at::TensorOptions vector_options() const override { return op_.vector_options(); }
  double seconds() const { return seconds_; }

 private:
  at::Tensor do_apply(const at::Tensor& v, const hessian::ProblemIndices& blocks) const override {
    at::Tensor product;
    seconds_ += hessian::benchmarks::seconds_of([&] { product = op_.apply(v, blocks); });
    return product;
  }
  const hessian::LinearOperator& op_;
  mutable double seconds_ = 0;
};

/// `overhead` is the time of a whole solution over the time spent in its products; `products` is their number, of a
/// block.
/// \param solve  the solution of an operator, which gives its products
template <class Solve>
void measure_overhead(benchmark::State& state, const std::string& model, int64_t sequences, int64_t seq_len,
                      const std::string& overhead, const Solve& solve) {
  const hessian::benchmarks::Subject subject = hessian::benchmarks::make_subject(model, 256, sequences, seq_len);
  const hessian::TapeOperator op(subject.forward.losses_program(0), subject.forward.parameters(),
                                 {subject.residual, subject.targets}, 0);
  double total_seconds = 0;
  double product_seconds = 0;
  double products = 0;
  for (auto _ : state) {
    const TimedOperator timed(op);
    const double seconds = hessian::benchmarks::seconds_of([&] { products = solve(timed); });
    state.SetIterationTime(seconds);
    total_seconds += seconds;
    product_seconds += timed.seconds();
  }
  state.counters[overhead] = total_seconds / product_seconds;
  state.counters["products"] = products;
}

void lanczos(benchmark::State& state, const std::string& model, int64_t sequences, int64_t seq_len) {
  measure_overhead(state, model, sequences, seq_len, "lanczos_overhead", [](const hessian::LinearOperator& op) {
    return hessian::lanczos(op).iterations.max().item<double>() + 2;
  });
}

BENCHMARK_CAPTURE(lanczos, llama2_20M_prenorm_4x128, "new:llama2-20M-prenorm", 4, 128)
    ->UseManualTime()
    ->Unit(benchmark::kMillisecond)
    ->Iterations(3);
BENCHMARK_CAPTURE(lanczos, llama2_20M_simplegpt_4x128, "new:llama2-20M-simplegpt", 4, 128)
    ->UseManualTime()
    ->Unit(benchmark::kMillisecond)
    ->Iterations(3);

/// The four largest and the four smallest eigenvalues, with `width` vectors a product.
void top_eigenpairs(benchmark::State& state, const std::string& model, int64_t sequences, int64_t seq_len,
                    int64_t width) {
  measure_overhead(state, model, sequences, seq_len, "top_overhead", [width](const hessian::LinearOperator& op) {
    hessian::TopEigenpairsOptions options;
    options.count = 4;
    options.block_width = width;
    const hessian::TopEigenpairs pairs = hessian::top_eigenpairs(op, options);
    return pairs.iterations.max().item<double>() + static_cast<double>(pairs.values.size(1));
  });
}

BENCHMARK_CAPTURE(top_eigenpairs, llama2_20M_prenorm_4x128, "new:llama2-20M-prenorm", 4, 128, 1)
    ->UseManualTime()
    ->Unit(benchmark::kMillisecond)
    ->Iterations(2);
BENCHMARK_CAPTURE(top_eigenpairs, llama2_20M_prenorm_4x128_width_4, "new:llama2-20M-prenorm", 4, 128, 4)
    ->UseManualTime()
    ->Unit(benchmark::kMillisecond)
    ->Iterations(2);

/// The residuals before all blocks, and before the last norm.
void all_layers(benchmark::State& state, const std::string& model, int64_t sequences, int64_t seq_len) {
  const hessian::benchmarks::Subject subject = hessian::benchmarks::make_subject(model, 256, sequences, seq_len);
  const int64_t layers = subject.forward.config().n_layers + 1;
  // The time from the recording of the tape to the eigenvalues, for layers that share a tape.
  const auto solve = [&](int64_t first, int64_t count) {
    return hessian::benchmarks::seconds_of([&] {
      hessian::TapeProblem problem{
          subject.forward.losses_program(0), subject.forward.parameters(), {subject.residual, subject.targets}, {}, {}};
      for (int64_t layer = first; layer < first + count; ++layer) {
        problem.values.push_back(
            problem.program.sites.at(hessian::models::site_name(hessian::models::Site::residual, layer)));
      }
      hessian::lanczos(hessian::TapeOperator(std::move(problem)));
    });
  };
  double together = 0;
  double apart = 0;
  double first = 0;
  for (auto _ : state) {
    const double seconds = solve(0, layers);
    state.SetIterationTime(seconds);
    together += seconds;
    for (int64_t layer = 0; layer < layers; ++layer) {
      const double alone = solve(layer, 1);
      apart += alone;
      first += layer == 0 ? alone : 0;
    }
  }
  state.counters["together_over_first"] = together / (static_cast<double>(layers) * first);
  state.counters["apart_over_first"] = apart / (static_cast<double>(layers) * first);
}

/// together_over_first is the time of all layers' probes in shared sweeps over that of as many probes of the first
/// layer, apart_over_first the same for one layer after the other.
BENCHMARK_CAPTURE(all_layers, llama2_20M_prenorm_4x128, "new:llama2-20M-prenorm", 4, 128)
    ->UseManualTime()
    ->Unit(benchmark::kMillisecond)
    ->Iterations(2);
BENCHMARK_CAPTURE(all_layers, llama2_20M_prenorm_1x128, "new:llama2-20M-prenorm", 1, 128)
    ->UseManualTime()
    ->Unit(benchmark::kMillisecond)
    ->Iterations(2);
BENCHMARK_CAPTURE(all_layers, gpt2_124M_prenorm_1x64, "new:gpt2-124M-prenorm", 1, 64)
    ->UseManualTime()
    ->Unit(benchmark::kMillisecond)
    ->Iterations(1);

}  // namespace
