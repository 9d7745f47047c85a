#include <gtest/gtest.h>

#include <numeric>
#include <string>
#include <vector>

#include "fixtures.h"
#include "hessian/dense_operator.h"
#include "hessian/hessian_operator.h"
#include "hessian/lanczos.h"
#include "hessian/map_curvature.h"
#include "probe/measurement.h"
#include "probe/subject.h"
#include "spectrum/anatomy.h"
#include "spectrum/groups.h"
#include "spectrum/layout.h"
#include "tiny_models.h"

// Compares the matrices of groups of activations, and both terms of H_xx at linear maps, with dense ones. Sequences are given
// in several orders and chunks.

namespace hessian::tests {
namespace {

using experiments::GroupChunk;
using experiments::GroupSource;
using experiments::MapAnatomy;
using experiments::ProbeSubject;
using experiments::SpectrumOptions;
using support::relative_error;

constexpr int64_t sequences = 3;
constexpr int64_t positions = 4;

class ActivationGroups : public testing::Test {
 protected:
  models::GptConfig config = support::tiny_config(models::Family::llama3, models::Placement::simplegpt);
  models::Model model{config, models::initialise_model(config, 4).parameters.to(at::kCPU, at::kDouble)};
  at::Tensor tokens = support::random_tokens(config, sequences, positions, 5);
  at::Tensor targets = support::random_tokens(config, sequences, positions, 6);
  SpectrumOptions options = [] {
    SpectrumOptions chosen;
    chosen.probe.engine = experiments::Engine::tape;
    chosen.probe.tolerance = 1e-9;
    chosen.probe.max_iterations = 500;
    return chosen;
  }();

  /// Returns the subject with its sequences in another order.
  ProbeSubject subject_in(const std::vector<int64_t>& order) const {
    const at::Tensor places = at::tensor(order);
    return {models::Forward(model), tokens.index_select(0, places), targets.index_select(0, places), 0, ""};
  }
  ProbeSubject subject() const { return subject_in({0, 1, 2}); }

  /// Returns the dense Hessians [S, n, n] of autograd at a site.
  static at::Tensor dense(const ProbeSubject& subject, models::Site site, int64_t layer) {
    const at::Tensor residual =
        support::residuals_of(subject.forward, subject.tokens).at(static_cast<std::size_t>(layer));
    const at::Tensor x = experiments::site_activation(subject.forward, site, layer, residual);
    return to_dense(
        HessianOperator(experiments::site_losses(subject.forward, site, layer, residual, subject.targets), x));
  }

  /// Returns all matrices of a group, [S, n, n], and checks that they come in the order of the sequences.
  static at::Tensor matrices_of(const GroupSource& source) {
    std::vector<at::Tensor> matrices;
    std::vector<int64_t> numbers;
    source.for_each_chunk([&](const GroupChunk& chunk) {
      matrices.push_back(to_dense(*chunk.op));
      numbers.insert(numbers.end(), chunk.problem_numbers.begin(), chunk.problem_numbers.end());
    });
    std::vector<int64_t> expected(static_cast<std::size_t>(source.group.problems));
    std::iota(expected.begin(), expected.end(), int64_t{0});
    EXPECT_EQ(numbers, expected);
    return at::cat(matrices);
  }
};

TEST_F(ActivationGroups, HoldTheHessianOfEverySequenceAtEachSiteAndLayer) {
  options.probe.sites = {models::Site::residual, models::Site::ffn_down_in};
  const ProbeSubject subject = this->subject();
  const auto record = experiments::record_forward(subject, {0, 1, 2});
  const auto groups = experiments::activation_groups(options, subject, record, {at::kCPU, 1});
  const std::vector<std::string> names = {"residual-0", "residual-1", "residual-2", "ffn_down_in-0", "ffn_down_in-1"};
  ASSERT_EQ(groups.size(), names.size());
  for (std::size_t i = 0; i < groups.size(); ++i) {
    SCOPED_TRACE(names[i]);
    const models::Site site = i < 3 ? models::Site::residual : models::Site::ffn_down_in;
    const auto layer = static_cast<int64_t>(i < 3 ? i : i - 3);
    EXPECT_EQ(groups[i].group.name, names[i]);
    EXPECT_EQ(groups[i].group.problems, sequences);
    EXPECT_EQ(groups[i].group.dim, positions * (i < 3 ? config.dim : config.ffn_hidden_dim));
    EXPECT_LT(relative_error(matrices_of(groups[i]), dense(subject, site, layer)), 1e-10);
  }
}

TEST_F(ActivationGroups, HoldOnePositionOfEachSequenceForUnitToken) {
  options.probe.unit = experiments::Unit::token;
  options.probe.layers = "1";
  const ProbeSubject subject = this->subject();
  const auto record = experiments::record_forward(subject, {1});
  const auto groups = experiments::activation_groups(options, subject, record, {at::kCPU, 1});
  ASSERT_EQ(groups.size(), 1U);
  EXPECT_EQ(groups[0].group.dim, config.dim);
  const at::Tensor whole = dense(subject, models::Site::residual, 1);
  const std::vector<int64_t> chosen = experiments::draw_positions(options.probe, subject);
  const at::Tensor matrices = matrices_of(groups[0]);
  for (int64_t s = 0; s < sequences; ++s) {
    const int64_t start = chosen[static_cast<std::size_t>(s)] * config.dim;
    const at::Tensor expected = whole[s].narrow(0, start, config.dim).narrow(1, start, config.dim);
    EXPECT_LT(relative_error(matrices[s], expected), 1e-10) << s;
  }
}

/// Returns the anatomy of a map as one tensor [quantities, S].
at::Tensor numbers_of(MapAnatomy anatomy) {
  std::vector<at::Tensor> all;
  for (const auto& stored : experiments::stored_tensors(anatomy, sequences)) {
    all.push_back(stored.tensor->flatten());
  }
  return at::stack(all);
}

class AnatomyOfMaps : public ActivationGroups {
 protected:
  MapAnatomy anatomy_of(const std::vector<int64_t>& order, const experiments::LayerMap& map, int64_t at_once) const {
    const ProbeSubject subject = subject_in(order);
    return experiments::dissect(options, subject, map, support::residuals_of(subject.forward, subject.tokens).at(1),
                                at_once);
  }
};

TEST_F(AnatomyOfMaps, HasTheNormsOfTheDenseTermsOfEverySequenceInAnyOrderAndChunk) {
  const auto maps = experiments::layer_maps(models::Forward(model), {1});
  ASSERT_EQ(maps.size(), 7U);
  const auto program = models::Forward(model).losses_program(1);
  const ProbeSubject subject = this->subject();
  const at::Tensor residual = support::residuals_of(subject.forward, tokens).at(1);
  for (const auto& map : {maps.front(), maps.back()}) {
    SCOPED_TRACE(map.name);
    for (const LinearMap& candidate : linear_maps(program)) {
      if (candidate.weight != "layers.1." + map.name + ".lin.weight") {
        continue;
      }
      const MapCurvature curvature(program, model.parameters, {residual, targets}, candidate);
      const MapAnatomy found = anatomy_of({0, 1, 2}, map, sequences);
      const auto norm = [](const OperatorPtr& op) { return at::linalg_eigvalsh(to_dense(*op)).abs().amax(1); };
      EXPECT_LT(relative_error(found.gain_norm, norm(curvature.gain_term())), 1e-8);
      EXPECT_LT(relative_error(found.curvature_norm, norm(curvature.curvature_term())), 1e-8);
      EXPECT_LT(relative_error(found.norm, norm(curvature.hessian())), 1e-8);
    }
    const at::Tensor together = numbers_of(anatomy_of({0, 1, 2}, map, sequences));
    const at::Tensor norms = at::tensor({0, 2, 4, 6, 7});  // without residual norms, which are rounding errors
    EXPECT_TRUE((together.select(0, 7) == 1).all().item<bool>()) << "converged";
    for (const int64_t at_once : {1, 2}) {
      const at::Tensor in_chunks = numbers_of(anatomy_of({0, 1, 2}, map, at_once));
      EXPECT_TRUE(at::allclose(in_chunks.index_select(0, norms), together.index_select(0, norms), 1e-6, 1e-9))
          << at_once;
      const at::Tensor permuted = numbers_of(anatomy_of({2, 0, 1}, map, at_once));
      EXPECT_TRUE(at::allclose(permuted.index_select(0, norms),
                               together.index_select(1, at::tensor({2, 0, 1})).index_select(0, norms), 1e-6, 1e-9));
    }
  }
}

TEST_F(AnatomyOfMaps, DrawsStartVectorsBySeedAndSequenceAndNotByChunk) {
  const auto map = experiments::layer_maps(models::Forward(model), {1}).front();
  options.probe.max_iterations = 2;  // the norms still depend on the start vectors
  const at::Tensor together = anatomy_of({0, 1, 2}, map, 3).norm;
  EXPECT_LT(relative_error(anatomy_of({0, 1, 2}, map, 1).norm, together), 1e-9);
  EXPECT_LT(relative_error(anatomy_of({0, 1, 2}, map, 2).norm, together), 1e-9);
  options.probe.seed = 1;
  EXPECT_GT(((anatomy_of({0, 1, 2}, map, 3).norm - together) / together).abs().min().item<double>(), 1e-6);
}

TEST_F(AnatomyOfMaps, SaysWhetherAllThreeEigenproblemsConverged) {
  const auto map = experiments::layer_maps(models::Forward(model), {1}).front();
  options.probe.max_iterations = 2;
  const MapAnatomy cut = anatomy_of({0, 1, 2}, map, 2);
  EXPECT_TRUE((cut.converged == 0).all().item<bool>());
  EXPECT_GT((cut.gain_residual / cut.gain_norm).min().item<double>(), 1e-9);
  options.probe.max_iterations = 500;
  const MapAnatomy whole = anatomy_of({0, 1, 2}, map, 2);
  EXPECT_TRUE((whole.converged == 1).all().item<bool>());
  EXPECT_LT((whole.gain_residual / whole.gain_norm).max().item<double>(), 1e-9);
}

}  // namespace
}  // namespace hessian::tests
