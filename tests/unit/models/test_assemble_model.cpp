#include <gtest/gtest.h>

#include <functional>
#include <limits>
#include <map>
#include <string>

#include "hessian/models/model.h"
#include "loader_support.h"
#include "refusal.h"
#include "tiny_models.h"

using hessian::models::assemble_model;
using hessian::models::Family;
using hessian::models::GptConfig;
using hessian::models::Model;
using hessian::models::Placement;
using hessian::support::refusal_of;
using hessian::support::Tensors;

namespace hessian::tests {
namespace {

const GptConfig config = support::tiny_config(Family::llama2, Placement::prenorm);

hessian::Parameters as_parameters(const Tensors& tensors) {
  hessian::Parameters parameters;
  for (const auto& [name, tensor] : tensors) {
    parameters.add(name, tensor);
  }
  return parameters;
}

Tensors fresh() {
  const Model model = models::initialise_model(config, 1);
  return {model.parameters.begin(), model.parameters.end()};
}

/// Returns the refusal of a model's tensors after a change.
std::string refusal(const std::function<void(Tensors&)>& change) {
  Tensors tensors = fresh();
  change(tensors);
  return refusal_of([&] { assemble_model(config, as_parameters(tensors), "m.pt"); });
}

TEST(AssembleModel, PutsTheTensorsInOrderAndSharesThem) {
  const Tensors tensors = fresh();  // by name, so in another order
  const Model model = assemble_model(config, as_parameters(tensors), "m.pt");
  EXPECT_TRUE(model.config == config);
  const auto specs = models::parameter_specs(config);
  ASSERT_EQ(model.parameters.size(), specs.size());
  std::size_t i = 0;
  for (const auto& [name, tensor] : model.parameters) {
    EXPECT_EQ(name, specs[i++].name);
    EXPECT_TRUE(tensor.is_same(tensors.at(name))) << name;
  }
}

TEST(AssembleModel, NamesATensorThatIsMissing) {
  EXPECT_EQ(
      refusal([](Tensors& t) { t.erase("layers.1.feed_forward.w2.weight"); }),
      "m.pt: tensor 'layers.1.feed_forward.w2.weight' is missing; expected [8, 12] in a llama2 prenorm of 2 layers");
}

TEST(AssembleModel, NamesASurplusTensor) {
  EXPECT_EQ(refusal([](Tensors& t) {
              t["layers.2.attention.wq.weight"] = at::zeros({8, 8});
            }),
            "m.pt: tensor 'layers.2.attention.wq.weight' [8, 8] belongs to no part of a llama2 prenorm of 2 layers");
}

TEST(AssembleModel, NamesTheActualAndTheExpectedShape) {
  EXPECT_EQ(refusal([](Tensors& t) {
              t["layers.0.attention.wq.weight"] = at::zeros({8, 7});
            }),
            "m.pt: tensor 'layers.0.attention.wq.weight' is [8, 7], expected [8, 8] (dim 8)");
  EXPECT_EQ(refusal([](Tensors& t) {
              t["norm.weight"] = at::zeros({8, 1});
            }),
            "m.pt: tensor 'norm.weight' is [8, 1], expected [8] (dim 8)");
}

TEST(AssembleModel, RefusesNumbersThatAreNotFinite) {
  for (const double bad : {std::numeric_limits<double>::quiet_NaN(), std::numeric_limits<double>::infinity(),
                           -std::numeric_limits<double>::infinity()}) {
    for (const at::ScalarType dtype : {at::kFloat, at::kDouble, at::kHalf, at::kBFloat16}) {
      EXPECT_EQ(refusal([&](Tensors& t) {
                  t["output.weight"] = at::ones({19, 8}, dtype);
                  t["output.weight"][7][3] = bad;
                }),
                "m.pt: tensor 'output.weight' holds non-finite values; the model cannot be probed")
          << bad << " " << dtype;
    }
  }
}

TEST(AssembleModel, RefusesIntegers) {
  EXPECT_EQ(refusal([](Tensors& t) { t["norm.weight"] = at::ones({8}, at::kLong); }),
            "m.pt: tensor 'norm.weight' holds Long, expected floating point");
}

TEST(AssembleModel, TakesTensorsWithoutMemory) {
  EXPECT_NO_THROW(assemble_model(config, support::meta_parameters(config), "m.pt"));
}

}  // namespace
}  // namespace hessian::tests
