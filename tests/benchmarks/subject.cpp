#include "subject.h"

#include <c10/core/GradMode.h>

#include <variant>

#include "gpt/architecture.h"
#include "hessian/host_memory.h"
#include "hessian/models/named_models.h"
#include "kernels/products.h"

namespace hessian::benchmarks {

ProblemFunction Subject::losses() const {
  return [this](const at::Tensor& x, const ProblemIndices& problems) {
    return forward.losses(0, x, rows_of(targets, problems));
  };
}

Subject make_subject(const models::GptConfig& config, int64_t sequences, int64_t seq_len) {
  keep_freed_memory();  // as the programs do
  models::Forward forward(models::initialise_model(config, 1));
  const at::Tensor tokens = at::randint(config.vocab_size, {sequences, seq_len}, at::kLong);
  const at::Tensor targets = at::randint(config.vocab_size, {sequences, seq_len}, at::kLong);
  const c10::NoGradGuard no_grad;
  const at::Tensor residual = forward.embed(tokens);
  return {std::move(forward), residual, targets};
}

Subject make_subject(const std::string& model_name, int64_t vocab_size, int64_t sequences, int64_t seq_len) {
  return make_subject(
      models::parse_model_name(model_name, vocab_size > 0 ? std::optional<int64_t>(vocab_size) : std::nullopt),
      sequences, seq_len);
}

MatrixProducts::MatrixProducts(const Subject& subject) {
  const auto& config = subject.forward.config();
  const int64_t sequences = subject.residual.size(0);
  const int64_t positions = subject.residual.size(1);
  const int64_t rows = sequences * positions;
  const auto linear = [&](const std::string& weight_name) {
    const at::Tensor weight = subject.forward.parameters().at(weight_name);  // [out, in]
    maps_.push_back({at::randn({rows, weight.size(1)}), weight});
    transposed_.push_back({at::randn({rows, weight.size(0)}), weight});
  };
  const auto attention = [&](const CausalAttention& core) {
    const int64_t width = config.head_dim;
    const int64_t group = core.n_heads / core.n_kv_heads;
    const auto heads = [&](int64_t n, int64_t m) { return at::randn({sequences * core.n_kv_heads, n, m}); };
    const int64_t queries = group * positions;
    // Forward: scores = q k^T, output = p v. Backward: dv = p^T do, dp = do v^T, dq = ds k, dk = ds^T q.
    heads_.push_back({heads(queries, width), heads(width, positions)});
    heads_.push_back({heads(queries, positions), heads(positions, width)});
    heads_.push_back({heads(positions, queries), heads(queries, width)});
    heads_.push_back({heads(queries, width), heads(width, positions)});
    heads_.push_back({heads(queries, positions), heads(positions, width)});
    heads_.push_back({heads(positions, queries), heads(queries, width)});
  };
  for (int64_t layer = 0; layer < config.n_layers; ++layer) {
    for (const Step& step : models::describe_layer(config, layer).program.steps) {
      if (const auto* map = std::get_if<Linear>(&step.operation)) {
        linear(map->weight);
      } else if (const auto* core = std::get_if<CausalAttention>(&step.operation)) {
        attention(*core);
      }
    }
  }
  linear(config.tied_head ? "tok_embeddings.weight" : "output.weight");
}

void MatrixProducts::run() const {
  const c10::NoGradGuard no_grad;
  for (const Pair& pair : maps_) {
    times_transposed(pair.left, pair.right);
  }
  for (const Pair& pair : transposed_) {
    times(pair.left, pair.right);
  }
  for (const Pair& pair : heads_) {
    at::bmm(pair.left, pair.right);
  }
}

}  // namespace hessian::benchmarks
