#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <ATen/CPUGeneratorImpl.h>
#include <cmath>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "fixtures.h"
#include "hessian/dense_operator.h"
#include "hessian/models/training_checkpoint.h"
#include "loader_support.h"
#include "minute_models.h"
#include "refusal.h"
#include "spectrum/groups.h"
#include "train/optimizer.h"

// Compares the matrices of groups of parameters with dense ones from autograd, for a model of some hundred parameters.

namespace hessian::tests {
namespace {

using experiments::CurvatureMatrix;
using experiments::GroupChunk;
using experiments::GroupSource;
using experiments::ProbeSubject;
using experiments::SpectrumOptions;
using support::refusal_of;
using support::relative_error;
using testing::HasSubstr;

class ParameterGroups : public testing::Test {
 protected:
  models::Model model =
      support::random_model(support::minute_config(models::Family::llama2, models::Placement::simplegpt), 71);
  at::Tensor tokens = support::random_tokens(model.config, 3, 4, 72);
  at::Tensor targets = support::random_tokens(model.config, 3, 4, 73);
  ProbeSubject subject{models::Forward(model), tokens, targets, 0, ""};
  SpectrumOptions options = [] {
    SpectrumOptions chosen;
    chosen.target = experiments::Target::parameters;
    chosen.top = 2;
    return chosen;
  }();

  std::vector<GroupSource> groups() const { return experiments::parameter_groups(options, subject, {at::kCPU, 1}); }

  /// Returns the only matrix of a group, [n, n].
  static at::Tensor matrix_of(const GroupSource& source) {
    std::vector<at::Tensor> matrices;
    source.for_each_chunk([&](const GroupChunk& chunk) {
      EXPECT_EQ(chunk.problem_numbers, std::vector<int64_t>{0});
      matrices.push_back(to_dense(*chunk.op));
    });
    EXPECT_EQ(matrices.size(), 1U);
    return matrices.at(0)[0];
  }

  at::Tensor matrix(CurvatureMatrix kind, const std::string& glob = "*") {
    options.matrix = kind;
    options.params = {glob};
    return matrix_of(groups().at(0));
  }

  /// Returns the places of the entries of these parameters among all.
  at::Tensor entries_of(const std::function<bool(const std::string&)>& is_chosen) const {
    std::vector<at::Tensor> places;
    int64_t first = 0;
    for (const auto& [name, tensor] : model.parameters) {
      if (is_chosen(name)) {
        places.push_back(at::arange(first, first + tensor.numel()));
      }
      first += tensor.numel();
    }
    return at::cat(places);
  }

  static at::Tensor submatrix(const at::Tensor& matrix, const at::Tensor& places) {
    return matrix.index_select(0, places).index_select(1, places);
  }

  /// Returns the Hessian of all parameters. Computes it once: it is the same in all tests.
  at::Tensor exact_hessian() const {
    static const at::Tensor exact = support::dense_hessian(model, tokens, targets);
    return exact;
  }

  /// Returns the mean over all tokens of J^T (diag(p) - p p^T) J.
  at::Tensor gauss_newton() const {
    const support::LeafModel leaves(model);
    const at::Tensor z = leaves.logits(tokens);
    const at::Tensor jacobian = leaves.jacobian(z).view({tokens.numel(), z.size(-1), -1});
    const at::Tensor p = at::softmax(z.detach(), -1).view({tokens.numel(), -1});
    const at::Tensor middle = at::diag_embed(p) - p.unsqueeze(2) * p.unsqueeze(1);
    return at::matmul(jacobian.transpose(1, 2), at::matmul(middle, jacobian)).mean(0);
  }

  /// Returns the mean over all tokens of g g^T, g being the gradient of a token's loss.
  at::Tensor fisher() const {
    const support::LeafModel leaves(model);
    const at::Tensor log_p = at::log_softmax(leaves.logits(tokens), -1);
    const at::Tensor gradients = leaves.jacobian(-log_p.gather(-1, targets.unsqueeze(-1)));
    return at::matmul(gradients.t(), gradients) / tokens.numel();
  }
};

TEST_F(ParameterGroups, HaveTheMatrixSizeAndNameOfTheirGlobs) {
  options.params = {"*", "layers.0.attention.*", "*norm*", "output.weight"};
  const at::Tensor whole = exact_hessian();
  const std::vector<std::pair<std::string, at::Tensor>> expected = {
      {"all", entries_of([](const std::string&) { return true; })},
      {"layers.0.attention.-",
       entries_of([](const std::string& name) { return name.starts_with("layers.0.attention."); })},
      {"-norm-", entries_of([](const std::string& name) { return name.find("norm") != std::string::npos; })},
      {"output.weight", entries_of([](const std::string& name) { return name == "output.weight"; })}};
  const auto found = groups();
  ASSERT_EQ(found.size(), expected.size());
  for (std::size_t i = 0; i < found.size(); ++i) {
    const auto& [name, places] = expected[i];
    EXPECT_EQ(found[i].group.name, name);
    EXPECT_EQ(found[i].group.description, "parameters '" + options.params[i] + "'");
    EXPECT_EQ(found[i].group.dim, places.size(0)) << name;
    EXPECT_EQ(found[i].group.problems, 1) << name;
    EXPECT_LT(relative_error(matrix_of(found[i]), submatrix(whole, places)), 1e-11) << name;
  }
}

TEST_F(ParameterGroups, HaveTheCurvatureThatIsRequested) {
  EXPECT_LT(relative_error(matrix(CurvatureMatrix::hessian), exact_hessian()), 1e-11);
  EXPECT_LT(relative_error(matrix(CurvatureMatrix::ggn), gauss_newton()), 1e-11);
  EXPECT_LT(relative_error(matrix(CurvatureMatrix::fisher), fisher()), 1e-11);
  EXPECT_LT(relative_error(matrix(CurvatureMatrix::fd_hessian), exact_hessian()), 1e-5);
}

TEST_F(ParameterGroups, AverageOverTheSequencesInAnyOrder) {
  const at::Tensor expected = matrix(CurvatureMatrix::hessian);
  const at::Tensor order = at::tensor({2, 0, 1});
  subject.tokens = tokens.index_select(0, order);
  subject.targets = targets.index_select(0, order);
  EXPECT_LT(relative_error(matrix(CurvatureMatrix::hessian), expected), 1e-11);
  subject.tokens = tokens.repeat({2, 1});
  subject.targets = targets.repeat({2, 1});
  EXPECT_LT(relative_error(matrix(CurvatureMatrix::hessian), expected), 1e-11) << "twice the same sequences";
}

TEST_F(ParameterGroups, DrawTheLabelsOfTheMonteCarloFisherMatrixBySeed) {
  options.probe.seed = 1;
  const at::Tensor first = matrix(CurvatureMatrix::mc_fisher, "norm.weight");
  EXPECT_TRUE(at::equal(matrix(CurvatureMatrix::mc_fisher, "norm.weight"), first)) << "the same seed";
  options.probe.seed = 2;
  EXPECT_GT(relative_error(matrix(CurvatureMatrix::mc_fisher, "norm.weight"), first), 1e-3) << "another seed";
  const at::Tensor empirical = matrix(CurvatureMatrix::fisher, "norm.weight");
  EXPECT_GT(relative_error(first, empirical), 1e-3) << "the targets as labels";
  options.probe.seed = 1;
  EXPECT_TRUE(at::equal(matrix(CurvatureMatrix::fisher, "norm.weight"), empirical)) << "no labels are drawn";
}

TEST_F(ParameterGroups, HaveAMonteCarloFisherMatrixWhoseMeanIsTheGaussNewtonMatrix) {
  constexpr int64_t draws = 400;
  std::vector<at::Tensor> drawn;
  for (int64_t seed = 0; seed < draws; ++seed) {
    options.probe.seed = static_cast<uint64_t>(seed);
    drawn.push_back(matrix(CurvatureMatrix::mc_fisher, "norm.weight"));
  }
  const at::Tensor all = at::stack(drawn);
  const at::Tensor error = all.std(0) / std::sqrt(static_cast<double>(draws));
  const at::Tensor exact =
      submatrix(gauss_newton(), entries_of([](const std::string& name) { return name == "norm.weight"; }));
  const double z = ((all.mean(0) - exact).abs() / error).max().item<double>();
  EXPECT_LT(z, 5);
  EXPECT_LT((error / exact.abs().max()).max().item<double>(), 0.05) << "too few draws to see a bias";
}

TEST_F(ParameterGroups, ArePreconditionedByTheStateOfATrainingCheckpoint) {
  const support::TemporaryFolder folder;
  // After one update v / (1 - beta2) is the squared gradient, so that P = (1 - beta1) (|g| + eps). Gradients were clipped to
  // half of their norm, and the first four entries of the first parameter had none.
  experiments::TrainConfig config;
  config.optimizer.beta1 = 0.75;
  config.optimizer.eps = 0.125;
  support::LeafModel leaves(model);
  auto generator = at::detail::createCPUGenerator(9);
  std::vector<at::Tensor> scale;
  for (at::Tensor& leaf : leaves.leaves) {
    leaf.mutable_grad() = at::randn(leaf.sizes(), generator, at::dtype(at::kDouble));
    scale.push_back((0.25 * (leaf.grad().abs() + 0.125)).rsqrt().flatten() * std::sqrt(0.5));
  }
  leaves.leaves.front().grad().flatten().narrow(0, 0, 4).zero_();
  experiments::Optimizer optimizer(config.optimizer, leaves.model.parameters);
  optimizer.update(1e-3, 0.5);
  models::TrainingState state;
  state.step = 1;
  state.optimizer = optimizer.state();
  state.generator = generator.get_state();
  state.config = experiments::write_config(experiments::train_fields(config));
  options.probe.model = folder / "step-1.safetensors";
  models::save_training_checkpoint({model, state}, options.probe.model);

  const at::Tensor d = at::cat(scale);
  const at::Tensor whole = d.unsqueeze(1) * exact_hessian() * d;
  options.adam = true;
  const at::Tensor moved = at::arange(4, whole.size(0));
  EXPECT_LT(relative_error(matrix(CurvatureMatrix::hessian), submatrix(whole, moved)), 1e-10);
  options.params = {"*", "*norm*"};
  const auto found = groups();
  EXPECT_EQ(found[0].group.dim, whole.size(0) - 4);
  EXPECT_EQ(found[0].group.adam.value().left_out, 4);
  EXPECT_EQ(found[0].group.adam.value().clip_factor, 0.5);
  EXPECT_TRUE(found[0].group.adam.value().coordinates.equal(moved));
  EXPECT_EQ(found[1].group.adam.value().left_out, 0);
  const at::Tensor places = entries_of([](const std::string& name) { return name.find("norm") != std::string::npos; });
  EXPECT_LT(relative_error(matrix(CurvatureMatrix::hessian, "*norm*"), submatrix(whole, places)), 1e-10);
  options.adam = false;
  EXPECT_LT(relative_error(matrix(CurvatureMatrix::hessian), exact_hessian()), 1e-11);
}

TEST_F(ParameterGroups, DivideTheMemoryBetweenVectorsAndProducts) {
  options.params = {"norm.weight"};
  const int64_t vector_bytes = 4 * 8;  // 4 parameters of float64
  const auto basis = [this] { return groups().at(0).max_basis; };
  EXPECT_EQ(basis(), 64) << "no more than is useful";
  options.top = 4;
  options.block_width = 40;  // 2 4 + 2 40 vectors, and 8 of the solver's own
  EXPECT_EQ(basis(), 96);
  options.block_width = 1;
  // A quarter of the memory is kept for a product; the weights count.
  subject.weight_bytes = 1 << 20;
  constexpr int64_t fit = 20'000;
  options.probe.memory_bytes = subject.weight_bytes + fit * vector_bytes * 4 / 3 + 3;
  EXPECT_EQ(basis(), 64);
  options.top = 2;  // needs 2 2 + 2, and 8 more
  const auto limit_for = [&](int64_t vectors) {
    return subject.weight_bytes + (vectors * vector_bytes + 2) / 3 * 4 + 4;
  };
  options.probe.memory_bytes = limit_for(30);
  EXPECT_EQ(basis(), 22);
  options.probe.memory_bytes = limit_for(14);
  EXPECT_EQ(basis(), 6);
  options.probe.memory_bytes = limit_for(12);
  EXPECT_THAT(
      refusal_of([&] { groups(); }),
      testing::MatchesRegex("14 vectors of 4 parameters need .*, .* are allowed; give --memory .*, fewer --steps or "
                            "--top, or fewer parameters"));
}

TEST_F(ParameterGroups, CountTheVectorsOfADensity) {
  options.top = 0;
  options.density = true;
  options.steps = 100;
  EXPECT_EQ(groups().at(0).max_basis, 113) << "100 steps, 5 vectors of theirs, and 8 more";
  options.params = {"norm.weight"};  // at most 4 steps
  EXPECT_EQ(groups().at(0).max_basis, 64);
}

TEST_F(ParameterGroups, RefuseGlobsWithoutAParameterOrWithTheNameOfAnother) {
  options.params = {"*", "layers.7.*"};
  EXPECT_THAT(refusal_of<std::invalid_argument>([&] { groups(); }), HasSubstr("layers.7.*"));
  options.params = {"*", "norm.weight", "*"};
  EXPECT_EQ(refusal_of<std::invalid_argument>([&] { groups(); }),
            "--params: two globs have the name 'all' in the run file");
  options.params = {"layers.*", "layers.?"};
  EXPECT_THAT(refusal_of<std::invalid_argument>([&] { groups(); }), HasSubstr("layers.?"));
}

}  // namespace
}  // namespace hessian::tests
