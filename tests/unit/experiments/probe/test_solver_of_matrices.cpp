#include <gtest/gtest.h>

#include <ATen/CPUGeneratorImpl.h>
#include <cmath>
#include <memory>
#include <numeric>
#include <string>
#include <utility>
#include <vector>

#include "hessian/dense_operator.h"
#include "matrices_with.h"
#include "probe/problem.h"
#include "probe/solver.h"

// Solves small dense matrices instead of a model's Hessians. Their spectra are known exactly, every layer and sequence has
// another one, and a fault in the chunks, ends, units, flags or seeds shows in milliseconds.

namespace hessian::tests {
namespace {

using experiments::Keep;
using experiments::MemoryPlan;
using experiments::Method;
using experiments::ProbeOptions;
using experiments::ProbeProblem;
using experiments::Unit;

constexpr int64_t layers = 2;
constexpr int64_t sequences = 5;
constexpr int64_t positions = 3;
constexpr int64_t width = 4;
constexpr int64_t dim = positions * width;

const std::vector<Method> all_methods = {Method::lanczos, Method::power, Method::spectra};

const std::string& word_of(Method method) {
  return experiments::method_words.at(static_cast<std::size_t>(method));
}

/// Returns symmetric matrices with these eigenvalues [..., n].
at::Tensor matrices_with(const at::Tensor& eigenvalues) {
  return support::matrices_with(eigenvalues, 3);
}

/// Upper and lower ends [L, S] of the spectra below. Upper ends dominate in even sequences, lower ends in odd ones.
at::Tensor upper_ends() {
  return 100 + at::arange(layers * sequences, at::kDouble).view({layers, sequences});
}
at::Tensor lower_ends() {
  const at::Tensor odd = at::arange(sequences, at::kDouble).remainder(2).unsqueeze(0);
  return -upper_ends() * (0.5 + odd);
}

/// Returns the problem of matrices [L, S, n, n], whose first sequence has this number among all.
/// \param kept  if given, is told what an operator is to keep between products
ProbeProblem problem_of(const at::Tensor& matrices, int64_t first_sequence = 0, std::vector<Keep>* kept = nullptr) {
  ProbeProblem problem;
  problem.layers.resize(static_cast<std::size_t>(matrices.size(0)));
  std::iota(problem.layers.begin(), problem.layers.end(), int64_t{0});
  problem.x = at::zeros({matrices.size(1), positions, width}, at::kDouble);
  problem.first_sequence = first_sequence;
  problem.hessians = [matrices, kept](int64_t first, int64_t count, Keep keep) -> OperatorPtr {
    if (kept != nullptr) {
      kept->push_back(keep);
    }
    return std::make_shared<DenseOperator>(matrices.narrow(1, first, count).flatten(0, 1));
  };
  return problem;
}

/// Returns spectra [L, S, n] with known ends and ten values from -1 to 1 between them.
at::Tensor known_spectra() {
  const at::Tensor inner = at::linspace(-1, 1, dim - 2, at::kDouble).expand({layers, sequences, dim - 2});
  return at::cat({lower_ends().unsqueeze(2), inner, upper_ends().unsqueeze(2)}, 2);
}

ProbeProblem known_problem() {
  return problem_of(matrices_with(known_spectra()));
}

/// Returns the problem of one layer whose sequences have the eigenvalues -1, ..., 1, so many that each digit costs products.
ProbeProblem dense_problem(int64_t of_sequences, double factor = 1) {
  constexpr int64_t large = 60;
  const at::Tensor spectra = at::linspace(-1, 1, large, at::kDouble).expand({1, of_sequences, large});
  ProbeProblem problem = problem_of(factor * matrices_with(spectra));
  problem.x = at::zeros({of_sequences, 1, large}, at::kDouble);
  return problem;
}

MemoryPlan plan_of(int64_t sequences_at_once, int64_t max_basis = 64) {
  MemoryPlan plan;
  plan.sequences_at_once = sequences_at_once;
  plan.max_basis = max_basis;
  return plan;
}

ProbeOptions options_with(Method method = Method::lanczos, double tolerance = 1e-9) {
  ProbeOptions options;
  options.method = method;
  options.ends = Ends::both;
  options.tolerance = tolerance;
  return options;
}

/// Returns one quantity of the results of all layers, [L, S].
at::Tensor stacked(const std::vector<ExtremalEigenvalues>& results, at::Tensor ExtremalEigenvalues::*member) {
  std::vector<at::Tensor> of_layers;
  for (const ExtremalEigenvalues& result : results) {
    of_layers.push_back(result.*member);
  }
  return at::stack(of_layers);
}

/// Returns whether both are equal up to a relative tolerance, NaN to NaN.
bool close(const at::Tensor& a, const at::Tensor& b, double tolerance) {
  return at::allclose(a, b, tolerance, 0, /*equal_nan=*/true);
}

using Result = ExtremalEigenvalues;
constexpr auto numbers = {&Result::lambda_max, &Result::lambda_min, &Result::residual_max, &Result::residual_min};

TEST(SolverOfMatrices, FindsBothEndsOfEveryLayerAndSequenceInChunksOfAnySize) {
  for (const Method method : {Method::lanczos, Method::spectra}) {
    for (int64_t at_once = 1; at_once <= sequences + 1; ++at_once) {
      SCOPED_TRACE(word_of(method) + ", " + std::to_string(at_once) + " at once");
      const auto results = experiments::solve(options_with(method), plan_of(at_once), known_problem(), {});
      ASSERT_EQ(results.size(), static_cast<std::size_t>(layers));
      EXPECT_TRUE(close(stacked(results, &Result::lambda_max), upper_ends(), 1e-9));
      EXPECT_TRUE(close(stacked(results, &Result::lambda_min), lower_ends(), 1e-9));
      EXPECT_TRUE(stacked(results, &Result::converged).all().item<bool>());
    }
  }
}

TEST(SolverOfMatrices, FindsTheEndsThatAreRequestedAndLeavesTheOthersUnknown) {
  const at::Tensor unknown = at::full({layers, sequences}, std::nan(""), at::kDouble);
  const at::Tensor upper_dominates = upper_ends() > -lower_ends();
  for (const Method method : all_methods) {
    for (const Ends ends : {Ends::upper, Ends::lower, Ends::dominant}) {
      if (method == Method::power && ends != Ends::dominant) {
        continue;  // finds the other end by a shift, which converges slowly
      }
      SCOPED_TRACE(word_of(method) + ", ends " + std::to_string(static_cast<int>(ends)));
      ProbeOptions options = options_with(method, 1e-7);
      options.ends = ends;
      const auto results = experiments::solve(options, plan_of(2), known_problem(), {});
      const at::Tensor has_upper =
          ends == Ends::dominant ? upper_dominates : at::full_like(upper_dominates, ends == Ends::upper);
      const at::Tensor expected_max = at::where(has_upper, upper_ends(), unknown);
      const at::Tensor expected_min = at::where(has_upper, unknown, lower_ends());
      EXPECT_TRUE(close(stacked(results, &Result::lambda_max), expected_max, 1e-6));
      EXPECT_TRUE(close(stacked(results, &Result::lambda_min), expected_min, 1e-6));
      EXPECT_TRUE(at::equal(stacked(results, &Result::residual_max).isnan(), has_upper.logical_not()));
      EXPECT_TRUE(at::equal(stacked(results, &Result::residual_min).isnan(), has_upper));
      EXPECT_TRUE(stacked(results, &Result::converged).all().item<bool>());
    }
  }
}

TEST(SolverOfMatrices, StopsAtTheToleranceRelativeToTheNormAndNoLater) {
  at::Tensor previous;
  for (const double tolerance : {1e-1, 1e-3, 1e-10}) {
    const auto result = experiments::solve(options_with(Method::lanczos, tolerance), plan_of(2), dense_problem(3, 100),
                                           {}, {.certify = 0})
                            .front();
    EXPECT_TRUE(result.converged.all().item<bool>());
    EXPECT_LE(result.residual_max.max().item<double>(), tolerance * 100);
    EXPECT_LE(result.residual_min.max().item<double>(), tolerance * 100);
    if (previous.defined()) {
      EXPECT_TRUE((result.iterations > previous).all().item<bool>()) << tolerance;
    }
    previous = result.iterations;
  }
}

TEST(SolverOfMatrices, FlagsExactlyTheSequencesThatDoNotConverge) {
  // One product suffices for a multiple of the identity; the other spectra need more than three.
  const at::Tensor hard = at::linspace(-1, 1, dim, at::kDouble);
  const at::Tensor easy = at::full({dim}, 5.0, at::kDouble);
  at::Tensor spectra =
      at::stack({at::stack({hard, easy, hard, hard, easy}), at::stack({easy, hard, hard, easy, hard})});
  const at::Tensor is_easy = at::stack({at::tensor({0, 1, 0, 0, 1}), at::tensor({1, 0, 0, 1, 0})}).to(at::kBool);
  for (const Method method : {Method::lanczos, Method::spectra}) {
    SCOPED_TRACE(word_of(method));
    ProbeOptions options = options_with(method);
    options.max_iterations = 3;
    const auto results = experiments::solve(options, plan_of(2), problem_of(matrices_with(spectra)), {});
    EXPECT_TRUE(at::equal(stacked(results, &Result::converged), is_easy)) << stacked(results, &Result::converged);
    const at::Tensor residuals = stacked(results, &Result::residual_max);
    EXPECT_TRUE(at::equal(residuals < 1e-9 * 5, is_easy)) << residuals;
    if (method == Method::lanczos) {  // Spectra fills its first basis whatever the limit
      EXPECT_LE(stacked(results, &Result::iterations).max().item<int>(), 3);
    }
  }
}

TEST(SolverOfMatrices, GivesTheResidualNormsOfTheEigenpairsThatItReturns) {
  // After three products the eigenvalues are wrong by as much as the square of the residual norm allows, and no more: for
  // each computed value there is an eigenvalue within the residual norm.
  const at::Tensor spectra =
      at::linspace(-1, 1, dim, at::kDouble).expand({layers, sequences, dim}) * upper_ends().unsqueeze(2);
  ProbeOptions options = options_with();
  options.max_iterations = 3;
  const auto results = experiments::solve(options, plan_of(2), problem_of(matrices_with(spectra)), {});
  for (const auto& [value, residual] :
       {std::pair(&Result::lambda_max, &Result::residual_max), std::pair(&Result::lambda_min, &Result::residual_min)}) {
    const at::Tensor residuals = stacked(results, residual);
    const at::Tensor distance = (spectra - stacked(results, value).unsqueeze(2)).abs().amin(2);
    EXPECT_TRUE((distance <= residuals).all().item<bool>());
    EXPECT_TRUE((residuals > 1e-3 * upper_ends()).all().item<bool>()) << "three products do not suffice";
  }
}

TEST(SolverOfMatrices, UsesAsManyBasisVectorsAsThePlanAllows) {
  const auto products = [](int64_t max_basis) {
    return experiments::solve(options_with(), plan_of(1, max_basis), dense_problem(1), {})
        .front()
        .iterations.item<int>();
  };
  EXPECT_LE(products(64), 60);
  EXPECT_GT(products(8), products(64));  // it restarts
}

TEST(SolverOfMatrices, TellsTheProblemWhatThePlanKeeps) {
  for (const Keep keep : {Keep::everything, Keep::checkpoints}) {
    std::vector<Keep> kept;
    MemoryPlan plan = plan_of(2);
    plan.keep = keep;
    experiments::solve(options_with(), plan, problem_of(matrices_with(known_spectra()), 0, &kept), {});
    EXPECT_EQ(kept, std::vector<Keep>(3, keep));  // 2 + 2 + 1 sequences
  }
}

/// Returns numbers that depend on the start vectors: the results after three products, [4, L, S].
at::Tensor unconverged(const ProbeProblem& problem, const MemoryPlan& plan, uint64_t seed, Method method) {
  ProbeOptions options = options_with(method);
  options.max_iterations = 3;
  options.seed = seed;
  const auto results = experiments::solve(options, plan, problem, {});
  std::vector<at::Tensor> all;
  for (const auto member : numbers) {
    all.push_back(stacked(results, member));
  }
  return at::stack(all);
}

TEST(SolverOfMatrices, DrawsStartVectorsBySeedAndSequenceAndNotByChunkOrLayer) {
  // The same matrix everywhere, so that only start vectors make a difference.
  const at::Tensor one = matrices_with(at::linspace(-1, 1, dim, at::kDouble));
  const ProbeProblem whole = problem_of(one.expand({layers, sequences, dim, dim}));
  for (const Method method : all_methods) {
    SCOPED_TRACE(word_of(method));
    const at::Tensor expected = unconverged(whole, plan_of(sequences), 7, method);
    for (const int64_t at_once : {1, 2, 3}) {
      EXPECT_TRUE(close(unconverged(whole, plan_of(at_once), 7, method), expected, 1e-8)) << at_once << " at once";
    }
    // The share of another process: sequences 2 to 4.
    const ProbeProblem share = problem_of(one.expand({layers, 3, dim, dim}), 2);
    EXPECT_TRUE(close(unconverged(share, plan_of(2), 7, method), expected.narrow(2, 2, 3), 1e-8));
    // Equal in all layers, different in all sequences, and for another seed.
    EXPECT_TRUE(close(expected.select(1, 0), expected.select(1, 1), 1e-8));
    const at::Tensor of_sequences = expected[0][0];
    for (int64_t i = 1; i < sequences; ++i) {
      EXPECT_GT((of_sequences[i] - of_sequences[i - 1]).abs().item<double>(), 1e-6) << i;
    }
    EXPECT_GT((unconverged(whole, plan_of(sequences), 8, method)[0] - expected[0]).abs().min().item<double>(), 1e-6);
  }
}

TEST(SolverOfMatrices, GivesPermutedSequencesPermutedResults) {
  const at::Tensor matrices = matrices_with(known_spectra());
  for (const std::vector<int64_t>& order : {std::vector<int64_t>{4, 3, 2, 1, 0}, std::vector<int64_t>{2, 0, 4, 1, 3}}) {
    const at::Tensor places = at::tensor(order);
    for (const int64_t at_once : {1, 2, 5}) {
      const auto results =
          experiments::solve(options_with(), plan_of(at_once), problem_of(matrices.index_select(1, places)), {});
      EXPECT_TRUE(close(stacked(results, &Result::lambda_max), upper_ends().index_select(1, places), 1e-9));
      EXPECT_TRUE(close(stacked(results, &Result::lambda_min), lower_ends().index_select(1, places), 1e-9));
    }
  }
}

TEST(SolverOfMatrices, SolvesThePositionOfEachSequenceForUnitToken) {
  // Block-diagonal matrices: position p of sequence s in layer l has the eigenvalues +-(100 l + 10 s + p + 1) and two small
  // ones. Off the diagonal the matrices are not zero, which restricted products must not see.
  const at::Tensor number = 100 * at::arange(layers, at::kDouble).view({layers, 1, 1}) +
                            10 * at::arange(sequences, at::kDouble).view({1, sequences, 1}) +
                            at::arange(1, positions + 1, at::kDouble);
  const at::Tensor spectra = number.unsqueeze(3) * at::tensor({-0.5, 0.1, 0.2, 1.0}, at::kDouble);  // [L, S, P, width]
  const at::Tensor diagonal = matrices_with(spectra);
  at::Tensor matrices = at::full({layers, sequences, dim, dim}, 1000.0, at::kDouble);
  for (int64_t p = 0; p < positions; ++p) {
    matrices.narrow(2, p * width, width).narrow(3, p * width, width).copy_(diagonal.select(2, p));
  }
  const std::vector<int64_t> chosen = {2, 0, 1, 0, 2};
  const at::Tensor expected =
      number.gather(2, at::tensor(chosen).view({1, sequences, 1}).expand({layers, sequences, 1})).squeeze(2);
  for (const int64_t at_once : {1, 2, 3, 5}) {
    ProbeOptions options = options_with();
    options.unit = Unit::token;
    const auto results = experiments::solve(options, plan_of(at_once), problem_of(matrices), chosen);
    EXPECT_TRUE(close(stacked(results, &Result::lambda_max), expected, 1e-9)) << at_once;
    EXPECT_TRUE(close(stacked(results, &Result::lambda_min), -0.5 * expected, 1e-9)) << at_once;
  }
}

TEST(SolverOfMatrices, ScalesWithItsMatrices) {
  // Eigenvalues and residual norms have the unit of the matrices; the tolerance is relative.
  const ProbeOptions options = options_with(Method::lanczos, 1e-3);
  const auto one = experiments::solve(options, plan_of(2), dense_problem(3), {}).front();
  for (const double factor : {1e-6, 1e6}) {
    const auto scaled = experiments::solve(options, plan_of(2), dense_problem(3, factor), {}).front();
    EXPECT_TRUE(close(scaled.lambda_max, factor * one.lambda_max, 1e-9));
    EXPECT_TRUE(close(scaled.lambda_min, factor * one.lambda_min, 1e-9));
    EXPECT_TRUE(close(scaled.residual_max, factor * one.residual_max, 1e-6));
    EXPECT_TRUE(close(scaled.residual_min, factor * one.residual_min, 1e-6));
    EXPECT_TRUE(at::equal(scaled.iterations, one.iterations));
    EXPECT_TRUE(scaled.converged.all().item<bool>());
  }
}

}  // namespace
}  // namespace hessian::tests
