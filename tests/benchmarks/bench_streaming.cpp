#include <benchmark/benchmark.h>

#include <array>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "contenders.h"
#include "hessian/models/checkpoint.h"
#include "hessian/models/named_models.h"
#include "hessian/models/weight_stream.h"
#include "hessian/tape_operator.h"
#include "subject.h"

// Measures the cost of a product with streamed weights relative to two kinds of product with loaded weights: one that
// keeps all values, and one that recomputes the layers, as streaming does. After the first reading the checkpoint is in
// the system's page cache; a disk slower than the products adds to this.

namespace hessian::benchmarks {
namespace {

/// A bfloat16 checkpoint of a fresh model, removed by the destructor.
class TemporaryCheckpoint {
 public:
  explicit TemporaryCheckpoint(const models::GptConfig& config)
      : path_(std::filesystem::temp_directory_path() / "hessian-bench-streaming.safetensors") {
    const models::Model model = models::initialise_model(config, 1);
    models::save_checkpoint({config, model.parameters.to(at::kCPU, at::kBFloat16)}, path_, 0);
  }
  ~TemporaryCheckpoint() { std::filesystem::remove(path_); }
  TemporaryCheckpoint(const TemporaryCheckpoint&) = delete;
  TemporaryCheckpoint& operator=(const TemporaryCheckpoint&) = delete;

  models::Model load() const { return models::load_checkpoint(path_, models::WeightAccess::deferred).model; }

 private:
  std::filesystem::path path_;
};

void streaming(benchmark::State& state, const std::string& name, int64_t vocab_size, int64_t sequences) {
  const models::GptConfig config = models::parse_model_name(name, vocab_size);
  const TemporaryCheckpoint checkpoint(config);
  const models::Model model = checkpoint.load();
  const Subject subject = make_subject(config, sequences, 128);
  const Parameters held = model.parameters.to(at::kCPU, at::kFloat);
  const Program program = subject.forward.losses_program(0);
  std::vector<ValueId> checkpoints;
  for (int64_t layer = 1; layer <= config.n_layers; ++layer) {
    checkpoints.push_back(program.sites.at(models::site_name(models::Site::residual, layer)));
  }
  const std::vector<at::Tensor> inputs = {subject.residual, subject.targets};
  const TapeOperator kept({program, held, inputs, {0}, {}});
  const TapeOperator again({program, held, inputs, {0}, checkpoints});
  const TapeOperator streamed({program, models::stream_weights(model, at::kCPU, at::kFloat), inputs, {0}, checkpoints});
  const at::Tensor v = at::randn({sequences, 1, kept.dim()});
  Contender with_all{[&] { kept.apply(v); }};
  Contender with_weights{[&] { again.apply(v); }};
  Contender without{[&] { streamed.apply(v); }};
  const std::array all = {&with_all, &with_weights, &without};
  run_in_turn(state, all, without);
  state.counters["streamed_over_kept"] = without.seconds / with_all.seconds;
  state.counters["streamed_over_again"] = without.seconds / with_weights.seconds;
}

BENCHMARK_CAPTURE(streaming, llama2_134M_prenorm_1x128_bytes, "new:llama2-134M-prenorm", 256, 1)
    ->UseManualTime()
    ->Unit(benchmark::kMillisecond)
    ->Iterations(6);
BENCHMARK_CAPTURE(streaming, llama2_134M_prenorm_4x128_bytes, "new:llama2-134M-prenorm", 256, 4)
    ->UseManualTime()
    ->Unit(benchmark::kMillisecond)
    ->Iterations(4);
BENCHMARK_CAPTURE(streaming, llama2_134M_prenorm_8x128_bytes, "new:llama2-134M-prenorm", 256, 8)
    ->UseManualTime()
    ->Unit(benchmark::kMillisecond)
    ->Iterations(3);

}  // namespace
}  // namespace hessian::benchmarks
