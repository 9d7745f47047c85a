#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <ostream>
#include <string>
#include <vector>

#include "fixtures.h"
#include "formats/safetensors.h"
#include "hessian/models/checkpoint.h"
#include "hessian/tape_operator.h"
#include "loader_support.h"

namespace hessian::tests {
namespace {

using nlohmann::json;

const std::string fixtures = HESSIAN_FIXTURES "/huggingface/";

/// The weights of a fixture with another config.json: scalings of RoPE, windows, activations and spellings that no fixture
/// has.
struct Variant {
  std::string name;
  std::string fixture;
  json config;
};

std::ostream& operator<<(std::ostream& out, const Variant& variant) {
  return out << variant.name;
}

std::vector<Variant> variants() {
  std::vector<Variant> result;
  for (const json& entry : json::parse(support::read_file(fixtures + "variants/configs.json"))) {
    result.push_back({entry.at("name"), entry.at("fixture"), entry.at("config")});
  }
  return result;
}

class ArchitectureVariant : public testing::TestWithParam<Variant> {
 protected:
  /// Loads the fixture's weights with the variant's configuration, in float64.
  models::Model load() const {
    const support::TemporaryFolder folder;
    std::filesystem::copy(fixtures + GetParam().fixture, folder / "model");
    folder.write("model/config.json", GetParam().config.dump());
    models::Model model = models::load_checkpoint(folder / "model").model;
    model.parameters = model.parameters.to(at::kCPU, at::kDouble);
    return model;
  }

  models::Model model = load();
  Parameters base = models::load_safetensors(fixtures + GetParam().fixture + "/expected.safetensors").tensors;
  at::Tensor tokens = base.at("tokens");
  at::Tensor targets = base.at("targets");
};

TEST_P(ArchitectureVariant, GivesTheReferenceLossAndGradient) {
  const Parameters expected = models::load_safetensors(fixtures + "variants/expected.safetensors").tensors;
  const auto sequences = static_cast<double>(tokens.size(0));
  for (const Derivatives derivatives : {Derivatives::any, Derivatives::first}) {
    const models::Forward forward(model, Numerics::wide, derivatives);
    const auto result = value_and_gradient(support::residual_losses(forward, 0, targets), forward.embed(tokens),
                                           all_problems(tokens.size(0)));
    EXPECT_LT(support::relative_error(result.value.mean().view({1}), expected.at(GetParam().name + ".loss")), 1e-12);
    EXPECT_LT(support::relative_error(result.gradient / sequences, expected.at(GetParam().name + ".dx.0")), 1e-10);
  }
}

// The references have no products: autograd is the reference of the tape.
TEST_P(ArchitectureVariant, HasATapeThatAgreesWithDoubleBackward) {
  const models::Forward forward(model);
  const at::Tensor residual = forward.embed(tokens);
  const at::Tensor v = base.at("v.0").flatten(1).unsqueeze(1);
  const HessianOperator reference(support::residual_losses(forward, 0, targets), residual);
  const TapeOperator tape(forward.losses_program(0), forward.parameters(), {residual, targets}, 0);
  EXPECT_LT(support::relative_error(tape.apply(v), reference.apply(v)), 1e-10);
}

INSTANTIATE_TEST_SUITE_P(All, ArchitectureVariant, testing::ValuesIn(variants()),
                         [](const auto& instance) { return instance.param.name; });

}  // namespace
}  // namespace hessian::tests
