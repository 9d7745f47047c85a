#include <benchmark/benchmark.h>

#include "hessian/lanczos.h"
#include "hessian/tape_operator.h"
#include "hessian/top_eigenpairs.h"
#include "subject.h"

// Measures the cost of Lanczos besides its Hessian-vector products, and the time saved by probing the layers of a model
// together.

namespace hessian::benchmarks {
namespace {

/// Forwards products to another operator and adds up their time.
class TimedOperator final : public LinearOperator {
 public:
  explicit TimedOperator(const LinearOperator& op) : op_(op) {}
  int64_t problems() const override { return op_.problems(); }
  int64_t dim() const override { return op_.dim(); }
  at::TensorOptions vector_options() const override { return op_.vector_options(); }
  double seconds() const { return seconds_; }

 private:
  at::Tensor do_apply(const at::Tensor& v, const ProblemIndices& problems) const override {
    at::Tensor product;
    seconds_ += seconds_of([&] { product = op_.apply(v, problems); });
    return product;
  }
  const LinearOperator& op_;
  mutable double seconds_ = 0;
};

/// Reports `overhead`, the ratio of the time of a whole solution to the time spent in its products, and `products`,
/// their number per problem.
/// \param solve  solves for an operator and returns that number
template <class Solve>
void measure_overhead(benchmark::State& state, const std::string& model, int64_t sequences, int64_t seq_len,
                      const std::string& overhead, const Solve& solve) {
  const Subject subject = make_subject(model, 256, sequences, seq_len);
  const TapeOperator op(subject.forward.losses_program(0), subject.forward.parameters(),
                        {subject.residual, subject.targets}, 0);
  double total_seconds = 0;
  double product_seconds = 0;
  double products = 0;
  for (auto _ : state) {
    const TimedOperator timed(op);
    const double seconds = seconds_of([&] { products = solve(timed); });
    state.SetIterationTime(seconds);
    total_seconds += seconds;
    product_seconds += timed.seconds();
  }
  state.counters[overhead] = total_seconds / product_seconds;
  state.counters["products"] = products;
}

/// Solves with and without the certificate, for the dominant end and for both. `products` is the mean per problem.
void lanczos(benchmark::State& state, const std::string& model, Ends ends, double certify) {
  measure_overhead(state, model, 4, 128, "lanczos_overhead", [ends, certify](const LinearOperator& op) {
    const ExtremalEigenvalues found = hessian::lanczos(op, {.ends = ends, .certificate = {.certify = certify}});
    return found.iterations.to(at::kDouble).mean().item<double>() + (ends == Ends::both ? 2 : 1);
  });
}

void measure_lanczos(const std::string& model) {
  for (const Ends ends : {Ends::dominant, Ends::both}) {
    for (const double certify : {0.0, 0.01}) {
      const std::string name = std::string("lanczos/") + model + (ends == Ends::both ? "/both_ends" : "/dominant") +
                               (certify > 0 ? "/certified" : "/residual_only");
      benchmark::RegisterBenchmark(
          name.c_str(),
          [model, ends, certify](benchmark::State& state) { lanczos(state, "new:" + model, ends, certify); })
          ->UseManualTime()
          ->Unit(benchmark::kMillisecond)
          ->Iterations(3);
    }
  }
}

[[maybe_unused]] const bool registered = [] {
  measure_lanczos("llama2-20M-prenorm");
  measure_lanczos("llama2-20M-simplegpt");
  return true;
}();

/// Finds the four largest and the four smallest eigenvalues with `width` vectors per product.
void top_eigenpairs(benchmark::State& state, const std::string& model, int64_t sequences, int64_t seq_len,
                    int64_t width) {
  measure_overhead(state, model, sequences, seq_len, "top_overhead", [width](const LinearOperator& op) {
    TopEigenpairsOptions options;
    options.count = 4;
    options.block_width = width;
    const TopEigenpairs pairs = hessian::top_eigenpairs(op, options);
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

/// Probes the residuals before all layers and before the final norm.
void all_layers(benchmark::State& state, const std::string& model, int64_t sequences, int64_t seq_len) {
  const Subject subject = make_subject(model, 256, sequences, seq_len);
  const int64_t layers = subject.forward.config().n_layers + 1;
  // The time from recording the tape to the eigenvalues, for layers that share a tape.
  const auto solve = [&](int64_t first, int64_t count) {
    return seconds_of([&] {
      TapeProblem problem{
          subject.forward.losses_program(0), subject.forward.parameters(), {subject.residual, subject.targets}, {}, {}};
      for (int64_t layer = first; layer < first + count; ++layer) {
        problem.values.push_back(problem.program.sites.at(models::site_name(models::Site::residual, layer)));
      }
      hessian::lanczos(TapeOperator(std::move(problem)));
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

/// together_over_first is the time of probing all layers on one tape divided by that of as many probes of the first
/// layer; apart_over_first is the same for layers probed one by one.
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
}  // namespace hessian::benchmarks
