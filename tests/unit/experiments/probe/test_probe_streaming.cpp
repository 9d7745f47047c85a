#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <string>

#include "counting_source.h"
#include "fixtures.h"
#include "hessian/models/named_models.h"
#include "probe/memory_plan.h"
#include "probe/problem.h"
#include "probe/solver.h"
#include "probe/subject.h"

// Tests a probe that fetches weights when it needs them: which weights it fetches, and that its results stay the same.

namespace hessian::tests {
namespace {

using experiments::Engine;
using experiments::ProbeOptions;

class ProbeStreaming : public testing::Test {
 protected:
  models::GptConfig config = [] {
    models::GptConfig chosen = models::parse_model_name("new:llama2-20M-simplegpt", 48);
    chosen.dim = 32;
    chosen.head_dim = 16;
    chosen.n_heads = chosen.n_kv_heads = 2;
    chosen.ffn_hidden_dim = 96;
    return chosen;
  }();
  models::Model model = models::initialise_model(config, 3);
  std::shared_ptr<support::CountingSource> source = std::make_shared<support::CountingSource>(model.parameters);
  at::Tensor tokens = at::randint(48, {3, 16}, at::detail::createCPUGenerator(1), at::kLong);
  at::Tensor targets = at::randint(48, {3, 16}, at::detail::createCPUGenerator(2), at::kLong);
  experiments::ProbeSubject kept{models::Forward(model), tokens, targets, 0, ""};
  experiments::ProbeSubject streamed{
      models::Forward(models::Model{config, support::deferred(model.parameters, source)}), tokens, targets, 0, ""};

  /// Returns how often each parameter was fetched.
  std::map<std::string, int> fetches() const {
    std::map<std::string, int> counts;
    for (const auto& names : source->fetched) {
      for (const std::string& name : names) {
        ++counts[name];
      }
    }
    return counts;
  }
  int64_t bytes_of_layer() const {
    int64_t bytes = 0;
    for (const auto& [name, tensor] : model.parameters) {
      bytes += name.starts_with("layers.0.") ? static_cast<int64_t>(tensor.nbytes()) : 0;
    }
    return bytes;
  }
};

TEST_F(ProbeStreaming, TheForwardPassReadsEachWeightOnceForAllSequences) {
  const auto expected = experiments::record_forward(kept, {0, 2, 4});
  const auto record = experiments::record_forward(streamed, {0, 2, 4});
  EXPECT_EQ(record.losses, expected.losses);
  for (const auto& [layer, residual] : expected.residuals) {
    EXPECT_TRUE(at::equal(record.residuals.at(layer), residual)) << layer;
  }
  for (const auto& [place, scale] : expected.activation_scales) {
    EXPECT_EQ(record.activation_scales.at(place).scale().rms, scale.scale().rms);
  }
  const auto counts = fetches();
  for (const auto& [name, tensor] : model.parameters) {
    EXPECT_EQ(counts.contains(name) ? counts.at(name) : 0, name == "tok_embeddings.weight" ? 0 : 1) << name;
  }
  EXPECT_LE(source->max_bytes, 2 * bytes_of_layer());
}

TEST_F(ProbeStreaming, AProbeOfLateLayersReadsNoEarlierLayer) {
  const auto record = experiments::record_forward(streamed, {3});
  source->fetched.clear();
  for (const models::Site site : {models::Site::residual, models::Site::ffn_in}) {
    const auto problem =
        experiments::probe_problem(Engine::tape, streamed.forward, site, {3}, record.residuals.at(3), targets);
    const auto same =
        experiments::probe_problem(Engine::tape, kept.forward, site, {3}, record.residuals.at(3), targets);
    const auto op = problem.hessians(0, 3, experiments::Keep::checkpoints);
    const auto vectors = at::randn({3, 2, op->dim()}, at::detail::createCPUGenerator(5));
    EXPECT_TRUE(at::equal(op->apply(vectors), same.hessians(0, 3, experiments::Keep::checkpoints)->apply(vectors)));
  }
  for (const auto& [name, count] : fetches()) {
    EXPECT_FALSE(name.starts_with("layers.0.") || name.starts_with("layers.1.") || name.starts_with("layers.2."))
        << name << " was fetched " << count << " times";
  }
}

TEST_F(ProbeStreaming, ThePlanDividesTheMemoryThatStreamedWeightsLeave) {
  const auto record = experiments::record_forward(kept, {0, 1, 2, 3, 4});
  ProbeOptions options;
  options.engine = Engine::tape;
  options.max_iterations = 16;
  const experiments::HeldMemory held{0, true, 2 * bytes_of_layer()};
  const auto plan_with = [&](int64_t allowed) {
    options.memory_bytes = allowed;
    return experiments::plan_memory(
        options, {at::kCPU}, 5, 3, 16,
        [&](int64_t count, int64_t positions) {
          const std::vector<int64_t> layers = {0, 1, 2, 3, 4};
          return experiments::probe_problem(
              Engine::tape, streamed.forward, models::Site::residual, {layers.begin(), layers.begin() + count},
              record.residuals.at(0).narrow(1, 0, positions), targets.narrow(1, 0, positions));
        },
        held);
  };
  const auto wide = plan_with(1LL << 30);
  EXPECT_EQ(wide.layers_at_once, 5);
  EXPECT_EQ(wide.sequences_at_once, 3);
  EXPECT_EQ(wide.keep, experiments::Keep::checkpoints);
  EXPECT_GT(wide.product_seconds.value(), 0);
  EXPECT_THAT(describe(wide, models::Site::residual), testing::HasSubstr("weights streamed"));
  // Lowers the memory limit step by step: every plan stays within it, until no plan fits.
  int64_t allowed = *wide.predicted_bytes;
  int plans = 0;
  try {
    for (; allowed > 0; allowed = allowed * 4 / 5, ++plans) {
      const auto plan = plan_with(allowed);
      EXPECT_LE(*plan.predicted_bytes, allowed);
      EXPECT_EQ(plan.keep, experiments::Keep::checkpoints);
    }
  } catch (const experiments::NotEnoughMemory&) {
    EXPECT_GT(allowed, bytes_of_layer());
  }
  EXPECT_GE(plans, 3);
}

}  // namespace
}  // namespace hessian::tests
