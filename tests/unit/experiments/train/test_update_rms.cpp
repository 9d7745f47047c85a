#include "train/update_rms.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cmath>
#include <map>

#include "hessian/models/model.h"
#include "tiny_models.h"

namespace hessian::tests {
namespace {

using experiments::tensor_group;
using experiments::UpdateRms;

TEST(UpdateRms, GroupsTheSameTensorOfEveryLayer) {
  EXPECT_EQ(tensor_group("layers.3.attention.wq.weight"), "attention.wq.weight");
  EXPECT_EQ(tensor_group("layers.12.ffn_norm.weight"), "ffn_norm.weight");
  EXPECT_EQ(tensor_group("tok_embeddings.weight"), "tok_embeddings.weight");
  EXPECT_EQ(tensor_group("norm.weight"), "norm.weight");
}

TEST(UpdateRms, NamesEveryGroupOnceInTheModelsOrder) {
  for (const models::GptConfig& config : support::all_tiny_configs()) {
    std::vector<std::string> expected;
    for (const auto& spec : models::parameter_specs(config)) {
      // The second layer has the same groups as the first.
      if (!spec.name.starts_with("layers.1.")) {
        expected.push_back(spec.name.starts_with("layers.0.") ? spec.name.substr(9) : spec.name);
      }
    }
    EXPECT_EQ(UpdateRms(models::initialise_model(config, 0).parameters).groups(), expected) << support::name_of(config);
  }
}

TEST(UpdateRms, MatchesAHandComputation) {
  Parameters parameters;
  parameters.add("norm.weight", at::tensor({1.0, 1.0}));
  parameters.add("layers.0.w", at::tensor({3.0, 4.0}));
  parameters.add("layers.1.w", at::tensor({0.0, 0.0, 0.0, 5.0, 5.0, 5.0}));
  UpdateRms rms(parameters);
  EXPECT_EQ(rms.groups(), (std::vector<std::string>{"norm.weight", "w"}));
  rms.remember();
  parameters.at("layers.0.w").add_(at::tensor({0.0, 2.0}));
  parameters.at("layers.1.w").sub_(2.0);
  const UpdateRms::Values values = rms.measure();
  // (0 + 4 + 6 * 4) / 8 and (9 + 16 + 3 * 25) / 8.
  EXPECT_EQ(values.update.at(0), 0.0);
  EXPECT_DOUBLE_EQ(values.update.at(1), std::sqrt(28.0 / 8));
  EXPECT_DOUBLE_EQ(values.parameter.at(0), 1.0);
  EXPECT_DOUBLE_EQ(values.parameter.at(1), std::sqrt(100.0 / 8));
}

// Sums of up to a few hundred squares in float32, in another order.
TEST(UpdateRms, TreatsEachGroupOfAModelAsOneLongVector) {
  const unsigned seed = 31;
  SCOPED_TRACE("seed " + std::to_string(seed));
  at::manual_seed(seed);
  for (const models::Family family : support::all_families()) {
    const auto model = models::initialise_model(support::tiny_config(family, models::Placement::sandwich), seed);
    Parameters trained;
    for (const auto& [name, tensor] : model.parameters) {
      trained.add(name, tensor.clone().requires_grad_());
    }
    UpdateRms rms(trained);
    // Several rounds, in which a copy of an earlier round must not be used.
    for (int round = 0; round < 3; ++round) {
      std::map<std::string, std::vector<at::Tensor>> updates;
      std::map<std::string, std::vector<at::Tensor>> before;
      rms.remember();
      for (const auto& [name, tensor] : trained) {
        const at::Tensor update = 1e-2 * at::randn(tensor.sizes());
        const at::Tensor old = tensor.detach().clone();
        tensor.detach().add_(update);
        before[tensor_group(name)].push_back(old.flatten().to(at::kDouble));
        updates[tensor_group(name)].push_back((tensor.detach().to(at::kDouble) - old.to(at::kDouble)).flatten());
      }
      const UpdateRms::Values values = rms.measure();
      for (std::size_t i = 0; i < rms.groups().size(); ++i) {
        const auto expected = [&](auto& tensors) {
          return at::cat(tensors[rms.groups()[i]]).square().mean().sqrt().template item<double>();
        };
        EXPECT_NEAR(values.update[i], expected(updates), 1e-5 * expected(updates)) << rms.groups()[i];
        EXPECT_NEAR(values.parameter[i], expected(before), 1e-5 * expected(before)) << rms.groups()[i];
      }
    }
  }
}

}  // namespace
}  // namespace hessian::tests
