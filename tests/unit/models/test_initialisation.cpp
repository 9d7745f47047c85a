#include <c10/core/GradMode.h>
#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <string>

#include "fixtures.h"
#include "hessian/models/model.h"
#include "hessian/models/named_models.h"
#include "tiny_models.h"

using hessian::models::Family;
using hessian::models::GptConfig;
using hessian::models::Model;
using hessian::models::Placement;

namespace hessian::tests {
namespace {

/// Returns the configuration of a model large enough for sampling errors of about one percent.
GptConfig sampled_config(Family family, Placement placement) {
  GptConfig config = support::tiny_config(family, placement);
  config.dim = 128;
  config.n_layers = 3;
  config.head_dim = 32;
  config.ffn_hidden_dim = 256;
  config.vocab_size = 500;
  config.max_seq_len = 64;
  return config;
}

/// Checks a sample of N(0, std^2): the mean within 5 of its standard errors, the deviation within 5 of its own, and the
/// fourth moment, which tells a normal distribution (3) from a uniform one (1.8), within 5 of its own.
void expect_normal(const std::string& name, const at::Tensor& tensor, double std) {
  const at::Tensor x = tensor.to(at::kDouble).flatten();
  const double n = static_cast<double>(x.numel());
  EXPECT_NEAR(x.mean().item<double>(), 0.0, 5 * std / std::sqrt(n)) << name;
  EXPECT_NEAR(x.square().mean().sqrt().item<double>() / std, 1.0, 5 / std::sqrt(2 * n)) << name;
  EXPECT_NEAR((x / std).pow(4).mean().item<double>(), 3.0, 5 * std::sqrt(96 / n)) << name;
}

bool is_llama(const GptConfig& config) {
  return config.family == Family::llama2 || config.family == Family::llama3;
}

/// Returns whether a map writes to the residual stream; Llama's code counts w3 among them.
bool is_writing(const GptConfig& config, const std::string& name) {
  const auto has = [&name](const char* part) { return name.find(part) != std::string::npos; };
  return has(".wo.") || has(".sno.") || has(".w2.") || has(".sn2.") ||
         (is_llama(config) && (has(".w3.") || has(".sn3.")));
}

/// Returns the standard deviation of a matrix in the official codes, by its name.
double expected_std(const GptConfig& config, const std::string& name) {
  const auto dim = static_cast<double>(config.dim);
  const auto layers = static_cast<double>(config.n_layers);
  if (config.family == Family::pythia) {
    return is_writing(config, name) ? 2 / (layers * std::sqrt(dim)) : std::sqrt(2 / (5 * dim));
  }
  if (name == "tok_embeddings.weight" && is_llama(config)) {
    return 1.0;
  }
  if (is_writing(config, name) && is_llama(config)) {
    return 0.02 / std::sqrt(2.0 * (1.0 + std::stod(name.substr(std::string("layers.").size()))));
  }
  return is_writing(config, name) && config.family == Family::gpt2 ? 0.02 / std::sqrt(2 * layers) : 0.02;
}

/// Returns the root mean square of the residual before each layer and before the final norm.
std::vector<double> residual_rms(const Model& model, const at::Tensor& tokens) {
  const c10::NoGradGuard no_grad;
  std::vector<double> result;
  for (const at::Tensor& residual : support::residuals_of(models::Forward(model), tokens)) {
    result.push_back(residual.square().mean().sqrt().item<double>());
  }
  return result;
}

TEST(InitialiseModel, DrawsEveryTensorFromItsDistribution) {
  for (const GptConfig& tiny : support::all_tiny_configs()) {
    const GptConfig config = sampled_config(tiny.family, tiny.placement);
    SCOPED_TRACE(support::name_of(config) + ", seed 11");
    for (const auto& [name, tensor] : models::initialise_model(config, 11).parameters) {
      EXPECT_EQ(tensor.scalar_type(), at::kFloat);
      if (name.ends_with(".bias")) {
        EXPECT_EQ(tensor.abs().max().item<double>(), 0.0) << name;
      } else if (tensor.dim() == 1) {
        // Gemma stores its gains minus 1. All norms multiply by 1.
        const bool gemma = config.family == Family::gemma2 || config.family == Family::gemma3;
        EXPECT_TRUE(at::equal(tensor, at::full_like(tensor, gemma ? 0 : 1))) << name;
      } else if (name != "output.weight" || !is_llama(config)) {
        expect_normal(name, tensor, expected_std(config, name));
      }
    }
  }
}

TEST(InitialiseModel, TruncatesTheHeadAtThreeStandardDeviations) {
  GptConfig config = sampled_config(Family::llama2, Placement::simplegpt);
  config.vocab_size = 8000;
  const at::Tensor head = models::initialise_model(config, 12).parameters.at("output.weight").to(at::kDouble);
  const double sigma = 1 / std::sqrt(128.0);
  const double n = static_cast<double>(head.numel());
  const double largest = head.abs().max().item<double>();
  EXPECT_LE(largest, 3 * sigma * (1 + 1e-6));
  EXPECT_GT(largest, 2.99 * sigma) << "a million draws come close to the bound";
  EXPECT_NEAR(head.mean().item<double>(), 0.0, 5 * sigma / std::sqrt(n));
  // The variance of a normal distribution cut at 3 is 1 - 6 phi(3) / (2 Phi(3) - 1) = 0.98658^2.
  EXPECT_NEAR(head.square().mean().sqrt().item<double>() / sigma, 0.98658, 5 / std::sqrt(2 * n));
  // Inside the cut it is normal: P(|x| < sigma) = 0.682689 / 0.997300.
  EXPECT_NEAR((head.abs() < sigma).to(at::kDouble).mean().item<double>(), 0.684538, 5 * 0.4647 / std::sqrt(n));
}

TEST(InitialiseModel, GivesEveryPlacementTheSameMatrices) {
  for (const Family family : support::all_families()) {
    const auto matrices = [family](Placement placement, uint64_t seed) {
      std::vector<at::Tensor> tensors;
      for (const auto& [name, tensor] :
           models::initialise_model(support::tiny_config(family, placement), seed).parameters) {
        if (tensor.dim() == 2) {
          tensors.push_back(tensor);
        }
      }
      return tensors;
    };
    const auto reference = matrices(Placement::prenorm, 5);
    EXPECT_GT(reference.size(), 10U);
    for (const Placement placement : support::all_placements()) {
      if (!support::is_valid(family, placement)) {
        continue;
      }
      const auto same = matrices(placement, 5);
      const auto other = matrices(placement, 6);
      ASSERT_EQ(same.size(), reference.size());
      for (std::size_t i = 0; i < same.size(); ++i) {
        EXPECT_TRUE(at::equal(same[i], reference[i])) << models::to_string(placement) << ", matrix " << i;
        EXPECT_FALSE(at::equal(other[i], reference[i])) << models::to_string(placement) << ", matrix " << i;
      }
    }
  }
}

TEST(InitialiseModel, DrawsEachMatrixIndependently) {
  const Model model = models::initialise_model(support::tiny_config(Family::llama2, Placement::prenorm), 5);
  EXPECT_FALSE(at::equal(model.parameters.at("layers.0.attention.wq.weight"),
                         model.parameters.at("layers.0.attention.wk.weight")));
  EXPECT_FALSE(at::equal(model.parameters.at("layers.0.attention.wq.weight"),
                         model.parameters.at("layers.1.attention.wq.weight")));
}

// Each branch of a SimpleNorm layer has RMS 1 and is independent of the stream, whose RMS is therefore sqrt(1 + 2l).
// Branches of the other placements are as small as their weights.
TEST(InitialiseModel, LetsTheResidualGrowOnlyInSimpleNormModels) {
  GptConfig config = models::parse_model_name("new:llama2-debugmodel-prenorm", 1000);
  const at::Tensor tokens = support::random_tokens(config, 2, 64, 13);
  for (const Placement placement : {Placement::prenorm, Placement::preqknorm, Placement::simplegpt}) {
    config.placement = placement;
    SCOPED_TRACE(support::name_of(config) + ", seed 13");
    const auto rms = residual_rms(models::initialise_model(config, 13), tokens);
    ASSERT_EQ(rms.size(), 9U);
    for (std::size_t layer = 0; layer < rms.size(); ++layer) {
      const double expected =
          placement == Placement::simplegpt ? std::sqrt(1.0 + 2.0 * static_cast<double>(layer)) : 1.0;
      // 128 rows of 256 entries, and branches that are not quite orthogonal.
      EXPECT_NEAR(rms[layer] / expected, 1.0, 0.05) << "layer " << layer;
    }
  }
}

}  // namespace
}  // namespace hessian::tests
