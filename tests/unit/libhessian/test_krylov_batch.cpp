#include "eigensolvers/krylov_batch.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>
#include <string>
#include <vector>

#include "hessian/dense_operator.h"
#include "random_problems.h"
#include "true_residuals.h"

// Fills the bases of Krylov spaces to their last vector, restarts them with every choice of Ritz pairs, and compares all
// Ritz pairs with the dense matrices.

namespace hessian::tests {
namespace {

using support::largest;
using support::Random;

/// Sums of at most a hundred terms of size 1 to 10 in float64.
constexpr double tolerance = 1e-11;

RitzColumns all_columns(const RitzPairs& ritz) {
  RitzColumns columns(static_cast<std::size_t>(ritz.values.size()));
  std::iota(columns.begin(), columns.end(), 0);
  return columns;
}

/// Expects orthonormal Ritz vectors whose residual norms are those of the recurrence.
void expect_krylov_relation(const KrylovBatch& batch, const at::Tensor& matrices) {
  for (int64_t i = 0; i < batch.size(); ++i) {
    const RitzPairs ritz = batch.ritz_pairs(i);
    ASSERT_EQ(ritz.values.size(), batch.basis_size());
    const at::Tensor vectors = batch.ritz_vectors(i, ritz, all_columns(ritz));
    EXPECT_LT(largest(at::mm(vectors, vectors.t()) - at::eye(batch.basis_size(), at::kDouble)), tolerance);
    const at::Tensor values =
        at::tensor(at::ArrayRef<double>(ritz.values.data(), ritz.values.size()), at::kDouble).unsqueeze(0);
    const at::Tensor residuals =
        support::true_residuals(matrices.narrow(0, batch.problem(i), 1), vectors.unsqueeze(0), values)[0];
    for (int64_t j = 0; j < ritz.values.size(); ++j) {
      EXPECT_NEAR(residuals[j].item<double>(), ritz.residuals[j], tolerance) << "Ritz pair " << j;
    }
  }
}

struct Sizes {
  int64_t n;
  int64_t width;
};

class KrylovSpaces : public testing::TestWithParam<Sizes> {
 protected:
  int64_t n = GetParam().n;
  int64_t width = GetParam().width;
  at::Tensor matrices = Random(static_cast<uint64_t>(10 * n + width)).symmetric(3, n);
  DenseOperator op{matrices};
};

TEST_P(KrylovSpaces, SpanAllDimensionsWhenTheBasisIsFull) {
  KrylovBatch batch(op, width, n, {.seed = 1});
  while (!batch.full()) {
    batch.extend();
    expect_krylov_relation(batch, matrices);
  }
  EXPECT_EQ(batch.basis_size(), n);
  EXPECT_EQ(batch.width(), 0) << "there is no next vector";
  const at::Tensor exact = support::dense_eigenvalues(matrices);
  for (int64_t i = 0; i < 3; ++i) {
    const RitzPairs ritz = batch.ritz_pairs(i);
    EXPECT_TRUE(batch.invariant(i, ritz));
    for (int64_t j = 0; j < n; ++j) {
      EXPECT_NEAR(ritz.values[j], exact[i][j].item<double>(), tolerance);
    }
  }
}

TEST_P(KrylovSpaces, KeepTheirRelationThroughRestartsFromAnyRitzPairs) {
  const int64_t max_basis = std::min(n, 3 * width + 2);
  for (int64_t kept = 1; kept + width <= max_basis; ++kept) {
    SCOPED_TRACE("keeping " + std::to_string(kept) + " of at most " + std::to_string(max_basis));
    KrylovBatch batch(op, width, max_basis, {.seed = 2});
    for (int restart = 0; restart < 3; ++restart) {
      while (!batch.full()) {
        batch.extend();
        expect_krylov_relation(batch, matrices);
      }
      if (batch.width() == 0) {
        break;  // the basis spans all dimensions
      }
      EXPECT_GT(batch.basis_size() + batch.width(), max_basis);
      EXPECT_LE(batch.basis_size(), max_basis);
      if (restart == 1) {  // a problem leaves, and the next one moves to its place
        batch.keep({0, 2});
        EXPECT_EQ(batch.problem(1), 2);
        expect_krylov_relation(batch, matrices);
      }
      if (kept > batch.basis_size()) {
        break;
      }
      std::vector<RitzPairs> pairs;
      std::vector<RitzColumns> columns;
      for (int64_t i = 0; i < batch.size(); ++i) {
        pairs.push_back(batch.ritz_pairs(i));
        RitzColumns chosen = all_columns(pairs.back());
        std::rotate(chosen.begin(), chosen.begin() + i % std::ssize(chosen), chosen.end());  // others per problem
        chosen.resize(static_cast<std::size_t>(kept));
        columns.push_back(chosen);
      }
      batch.restart(pairs, columns);
      EXPECT_EQ(batch.basis_size(), kept);
    }
  }
}

// Sizes below and above the number of ranges of coordinates in which a restart works, 16, and not multiples of it.
INSTANTIATE_TEST_SUITE_P(Sizes, KrylovSpaces,
                         testing::Values(Sizes{1, 1}, Sizes{2, 2}, Sizes{7, 1}, Sizes{7, 3}, Sizes{19, 1}, Sizes{19, 4},
                                         Sizes{37, 2}, Sizes{37, 5}),
                         [](const auto& instance) {
                           return "n" + std::to_string(instance.param.n) + "Width" +
                                  std::to_string(instance.param.width);
                         });

TEST(KrylovBatch, FillsTheBasisWithRandomVectorsIfTheSpaceIsExhausted) {
  // Ranks 0, 1 and 3: nearly all vectors are drawn at random, the last ones in a space of few dimensions.
  Random random(3);
  at::Tensor values = at::zeros({3, 23}, at::kDouble);
  values[1][0] = 2;
  values[2].narrow(0, 0, 3).copy_(at::tensor({1.0, -2.0, 3.0}, at::kDouble));
  const at::Tensor matrices = random.with_spectrum(values);
  const DenseOperator op(matrices);
  for (const int64_t width : {1, 2, 3}) {
    SCOPED_TRACE("width " + std::to_string(width));
    KrylovBatch batch(op, width, 23, {.seed = 4});
    while (!batch.full()) {
      batch.extend();
    }
    EXPECT_EQ(batch.basis_size(), 23);
    expect_krylov_relation(batch, matrices);
    const at::Tensor exact = support::dense_eigenvalues(matrices);
    for (int64_t i = 0; i < 3; ++i) {
      const RitzPairs ritz = batch.ritz_pairs(i);
      const at::Tensor vectors = batch.ritz_vectors(i, ritz, all_columns(ritz));
      // Each vector is orthogonal to the others up to a few roundings, also those that were drawn last.
      EXPECT_LT(largest(at::mm(vectors, vectors.t()) - at::eye(23, at::kDouble)), 1e-14) << "problem " << i;
      for (int64_t j = 0; j < 23; ++j) {
        EXPECT_NEAR(ritz.values[j], exact[i][j].item<double>(), tolerance);
      }
    }
  }
}

TEST(KrylovBatch, StaysOrthonormalIfLittleRemainsOfAProduct) {
  // One large eigenvalue: the products of a block are nearly parallel, and 1e-9 of each remains.
  constexpr int64_t n = 100;
  Random random(5);
  at::Tensor values = 1e-9 * random.normal({1, n});
  values[0][0] = 1;
  const at::Tensor matrix = random.with_spectrum(values);
  const DenseOperator op(matrix);
  KrylovBatch batch(op, 3, 24, {.seed = 6});
  while (!batch.full()) {
    batch.extend();
    const RitzPairs ritz = batch.ritz_pairs(0);
    const at::Tensor vectors = batch.ritz_vectors(0, ritz, all_columns(ritz));
    EXPECT_LT(largest(at::mm(vectors, vectors.t()) - at::eye(batch.basis_size(), at::kDouble)), 1e-14)
        << batch.basis_size() << " vectors";
  }
}

}  // namespace
}  // namespace hessian::tests
