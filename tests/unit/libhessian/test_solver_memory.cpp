#include <gtest/gtest.h>

#include <functional>
#include <string>
#include <vector>

#include "hessian/diagonal.h"
#include "hessian/lanczos.h"
#include "hessian/memory.h"
#include "hessian/norms.h"
#include "hessian/power_iteration.h"
#include "hessian/spectral_density.h"
#include "hessian/top_eigenpairs.h"
#include "hessian/trace.h"

// Compares the peak memory of each solver, with its basis full, with the number of vectors that its header states: plans of
// memory rely on them.

namespace hessian::tests {
namespace {

constexpr int64_t problems = 3;
constexpr int64_t n = 4000;

/// Diagonal matrices whose products take no memory but for their results.
class DiagonalOperator final : public LinearOperator {
 public:
  int64_t problems() const override { return diagonal_.size(0); }
  int64_t dim() const override { return diagonal_.size(1); }
  at::TensorOptions vector_options() const override { return diagonal_.options(); }

 private:
  at::Tensor do_apply(const at::Tensor& v, const ProblemIndices& chosen) const override {
    at::Tensor result = at::empty_like(v);
    for (std::size_t i = 0; i < chosen.size(); ++i) {
      at::Tensor of_problem = result[static_cast<int64_t>(i)];
      at::mul_out(of_problem, v[static_cast<int64_t>(i)], diagonal_[chosen[i]]);
    }
    return result;
  }

  at::Tensor diagonal_ = at::linspace(-1, 2, n, at::kDouble).expand({tests::problems, n}).contiguous();
};

/// Returns the peak of a computation, in vectors of n numbers of float64 per problem.
double peak_vectors(const std::function<void(const LinearOperator&)>& compute) {
  const DiagonalOperator op;
  const MemoryScope scope;
  compute(op);
  return static_cast<double>(scope.peak_bytes()) / static_cast<double>(problems * n * 8);
}

/// Expects a peak of at most the number of vectors stated, and of nearly as many. A tenth of a vector is left for numbers
/// that do not grow with n.
void expect_peak(double stated, const std::function<void(const LinearOperator&)>& compute) {
  const double peak = peak_vectors(compute);
  EXPECT_LT(peak, stated + 0.1);
  EXPECT_GT(peak, 0.8 * stated);
}

/// Tolerance that no iteration below reaches: the ends of the spectra are crowded. All fill their bases and restart.
constexpr double unreachable = 1e-15;

TEST(SolverMemory, OfLanczosIsItsBasisAndEightVectors) {
  for (const Ends ends : {Ends::both, Ends::dominant}) {
    for (const int64_t basis : {8, 24}) {
      SCOPED_TRACE("basis " + std::to_string(basis) + ", ends " + std::to_string(static_cast<int>(ends)));
      expect_peak(static_cast<double>(basis) + 8, [&](const LinearOperator& op) {
        const auto result =
            lanczos(op, {.tolerance = unreachable, .ends = ends, .max_iterations = basis + 4, .max_basis = basis});
        EXPECT_EQ(result.iterations.min().item<int>(), basis + 4) << "it did not fill its basis";
      });
    }
  }
}

TEST(SolverMemory, OfTopEigenpairsIsItsBasisItsPairsAndFiveBlocks) {
  constexpr int64_t count = 2;
  constexpr int64_t basis = 24;
  for (const int64_t width : {1, 4}) {
    SCOPED_TRACE("width " + std::to_string(width));
    expect_peak(static_cast<double>(basis + 5 * width + 2 * count), [&](const LinearOperator& op) {
      const auto pairs = top_eigenpairs(op, {.count = count,
                                             .tolerance = unreachable,
                                             .max_iterations = basis + 2 * width,
                                             .block_width = width,
                                             .max_basis = basis});
      EXPECT_EQ(pairs.iterations.min().item<int>(), basis + 2 * width) << "it did not fill its basis";
    });
  }
}

TEST(SolverMemory, OfPowerIterationIsEightVectors) {
  for (const Ends ends : {Ends::both, Ends::dominant}) {
    SCOPED_TRACE("ends " + std::to_string(static_cast<int>(ends)));
    expect_peak(8, [&](const LinearOperator& op) {
      power_extremes(op, {.tolerance = unreachable, .ends = ends, .max_iterations = 5});
    });
  }
}

TEST(SolverMemory, OfAQuadratureIsItsStepsAndFiveVectors) {
  for (const int64_t steps : {10, 24}) {
    SCOPED_TRACE(steps);
    expect_peak(static_cast<double>(steps) + 5,
                [&](const LinearOperator& op) { spectral_quadrature(op, {.samples = 2, .steps = steps}); });
  }
}

TEST(SolverMemory, OfEstimatesIsIndependentOfTheNumberOfSamples) {
  for (const int64_t samples : {2, 12}) {
    SCOPED_TRACE(samples);
    const SampleOptions options{.samples = samples};
    expect_peak(4, [&](const LinearOperator& op) { hutchinson_trace(op, options); });
    expect_peak(4, [&](const LinearOperator& op) { frobenius_norm(op, options); });
    expect_peak(4, [&](const LinearOperator& op) { participation_ratio(op, options); });
    expect_peak(7, [&](const LinearOperator& op) { estimate_diagonal(op, options); });
  }
}

TEST(SolverMemory, OfHutchPlusPlusIsItsSketchAndSixVectors) {
  for (const int64_t third : {4, 12}) {
    SCOPED_TRACE(third);
    expect_peak(static_cast<double>(third) + 6,
                [&](const LinearOperator& op) { hutch_plus_plus_trace(op, {.products = 3 * third}); });
  }
}

}  // namespace
}  // namespace hessian::tests
