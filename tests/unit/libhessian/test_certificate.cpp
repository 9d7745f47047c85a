#include "eigensolvers/certificate.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <stdexcept>
#include <string>
#include <vector>

#include "eigensolvers/krylov_driver.h"
#include "eigensolvers/start_component.h"
#include "hessian/dense_operator.h"
#include "hessian/lanczos.h"
#include "hessian/largest_eigenpair.h"
#include "hessian/power_iteration.h"
#include "hessian/spectra_solver.h"
#include "hessian/top_eigenpairs.h"
#include "random_problems.h"
#include "refusal.h"

using hessian::support::largest;
using hessian::support::Random;
using hessian::support::refusal_of;
using hessian::support::spectra_of_size;

namespace hessian::tests {
namespace {

// --- The distribution of a start vector's component ---------------------------------------------------------------------

TEST(StartComponent, HasTheClosedFormsOfLowDimensions) {
  for (const double x : {1e-14, 1e-6, 0.01, 0.3, 0.9}) {
    SCOPED_TRACE(x);
    // On the circle the angle is uniform; on the sphere in three dimensions the component itself is (Archimedes).
    EXPECT_NEAR(start_component_probability(x, 2), 2 / M_PI * std::asin(std::sqrt(x)), 1e-12 + 1e-6 * std::sqrt(x));
    EXPECT_NEAR(start_component_probability(x, 3), std::sqrt(x), 1e-12 + 1e-6 * std::sqrt(x));
  }
  EXPECT_EQ(start_component_probability(0.999, 1), 0);
  EXPECT_EQ(start_component_probability(1, 1), 1);
  EXPECT_EQ(start_component_probability(0, 5), 0);
  EXPECT_EQ(start_component_probability(1, 5), 1);
}

TEST(StartComponent, ApproachesANormalDistributionInHighDimensions) {
  for (const int64_t n : {int64_t{10'000'000}, int64_t{7'000'000'000}}) {
    for (const double z : {1e-9, 1e-3, 0.5, 2.0}) {
      SCOPED_TRACE(std::to_string(n) + " " + std::to_string(z));
      const double probability = start_component_probability(z * z / static_cast<double>(n), n);
      EXPECT_NEAR(probability / std::erf(z / std::sqrt(2.0)), 1, 1e-5);
    }
  }
}

TEST(StartComponent, IsContinuousWhereTheSeriesEnds) {
  for (const int64_t n : {4, 100, 1'000'000}) {
    const double edge = 1e-4 / (0.5 * static_cast<double>(n - 1));
    const double below = start_component_probability(edge * (1 - 1e-9), n);
    const double above = start_component_probability(edge * (1 + 1e-9), n);
    EXPECT_NEAR(above / below, 1, 1e-7) << n;
  }
}

// --- Polynomials --------------------------------------------------------------------------------------------------------

/// A diagonal matrix, on which Lanczos' recurrence is carried out in float64 with full orthogonalisation.
struct Recurrence {
  Eigen::VectorXd spectrum;
  Eigen::VectorXd start;
  std::vector<Eigen::VectorXd> basis;
  Eigen::VectorXd next;
  KrylovPolynomials polynomials;

  explicit Recurrence(const Eigen::VectorXd& values, uint64_t seed)
      : spectrum(values), start(values.size()), polynomials(values.size()) {
    const at::Tensor random = Random(seed).normal({values.size()});
    std::copy_n(random.data_ptr<double>(), values.size(), start.data());
    start.normalize();
    next = start;
  }

  void step() {
    basis.push_back(next);
    Eigen::VectorXd product = spectrum.cwiseProduct(next);
    Eigen::VectorXd coefficients = Eigen::VectorXd::Zero(static_cast<Eigen::Index>(basis.size()));
    for (int round = 0; round < 2; ++round) {
      for (std::size_t i = 0; i < basis.size(); ++i) {
        const double part = basis[i].dot(product);
        coefficients[static_cast<Eigen::Index>(i)] += part;
        product -= part * basis[i];
      }
    }
    next = product.normalized();
    polynomials.add_product(coefficients, product.norm());
  }

  /// Replaces the basis by the columns of basis * rotation.
  void restart(const Eigen::MatrixXd& rotation) {
    std::vector<Eigen::VectorXd> rotated;
    for (Eigen::Index column = 0; column < rotation.cols(); ++column) {
      Eigen::VectorXd sum = Eigen::VectorXd::Zero(spectrum.size());
      for (std::size_t i = 0; i < basis.size(); ++i) {
        sum += rotation(static_cast<Eigen::Index>(i), column) * basis[i];
      }
      rotated.push_back(sum);
    }
    basis = rotated;
    polynomials.add_restart(rotation);
  }

  /// The sum of squares of the components of all vectors along coordinate i, over that of the start vector: K at its
  /// eigenvalue, from the vectors themselves.
  double kernel(Eigen::Index i) const {
    double sum = next[i] * next[i];
    for (const Eigen::VectorXd& v : basis) {
      sum += v[i] * v[i];
    }
    return sum / (start[i] * start[i]);
  }
};

double risk_of(double kernel, int64_t n) {
  return std::min(1.0, start_component_probability(1 / kernel, n) / (15.0 / 16));
}

TEST(KrylovPolynomials, GiveTheComponentsOfTheVectorsAlongEachEigenvector) {
  const Eigen::VectorXd spectrum = Eigen::VectorXd::LinSpaced(12, -1, 2);
  Recurrence recurrence(spectrum, 3);
  for (int step = 1; step <= 7; ++step) {
    recurrence.step();
    for (Eigen::Index i = 0; i < spectrum.size(); ++i) {
      const double expected = risk_of(recurrence.kernel(i), 12);
      EXPECT_NEAR(recurrence.polynomials.risk_outside(spectrum[i]) / expected, 1, 1e-6) << step << " " << i;
    }
  }
}

TEST(KrylovPolynomials, FollowTheVectorsThroughRestarts) {
  const Eigen::VectorXd spectrum = Eigen::VectorXd::LinSpaced(20, -1, 2);
  Recurrence recurrence(spectrum, 4);
  Eigen::VectorXd largest_kernel = Eigen::VectorXd::Ones(spectrum.size());
  const auto step = [&] {
    recurrence.step();
    for (Eigen::Index i = 0; i < spectrum.size(); ++i) {
      largest_kernel[i] = std::max(largest_kernel[i], recurrence.kernel(i));
    }
  };
  for (int cycle = 0; cycle < 3; ++cycle) {
    while (recurrence.basis.size() < 6) {
      step();
    }
    // Any orthonormal columns will do: here those of a random orthogonal matrix.
    const auto [q, r] = at::linalg_qr(Random(static_cast<uint64_t>(cycle)).normal({6, 6}));
    Eigen::MatrixXd rotation(6, 3);
    for (Eigen::Index i = 0; i < 6; ++i) {
      for (Eigen::Index j = 0; j < 3; ++j) {
        rotation(i, j) = q[i][j].item<double>();
      }
    }
    recurrence.restart(rotation);
    step();
    for (Eigen::Index i = 0; i < spectrum.size(); ++i) {
      const double expected = risk_of(largest_kernel[i], 20);
      EXPECT_NEAR(recurrence.polynomials.risk_outside(spectrum[i]) / expected, 1, 1e-4) << cycle << " " << i;
    }
  }
}

TEST(KrylovPolynomials, GrowAwayFromTheRitzValuesWithoutOverflow) {
  Recurrence recurrence(Eigen::VectorXd::LinSpaced(300, -1, 1), 5);
  for (int step = 0; step < 200; ++step) {
    recurrence.step();
  }
  double last = 1;
  for (const double distance : {1e-12, 1e-6, 1e-3, 0.1, 10.0, 1e6, 1e100, 1e300}) {
    const double risk = recurrence.polynomials.risk_outside(1 + distance);
    EXPECT_LE(risk, last) << distance;
    EXPECT_EQ(risk, recurrence.polynomials.risk_outside(1 + distance));
    last = risk;
  }
  EXPECT_LT(last, 1e-90);
}

TEST(KrylovPolynomials, MultiplyTheRisksOfSeveralStartVectors) {
  // A multiple of the identity: every start vector's space is exhausted at once, at the rounding level 1e-6.
  KrylovPolynomials polynomials(100);
  double product = 1;
  for (int start = 1; start <= 3; ++start) {
    Eigen::VectorXd coefficients = Eigen::VectorXd::Zero(start);
    coefficients[start - 1] = 1;
    polynomials.add_product(coefficients, 1e-6);
    // At t = 1.01 the next vector's polynomial is 0.01 / 1e-6.
    product *= start_component_probability(1 / (1 + 1e8), 100 - (start - 1));
    const double log = -std::log(product);
    const std::vector<double> combined = {product, product * (1 + log), product * (1 + log + log * log / 2)};
    const double share = 15 / std::pow(16.0, start);
    EXPECT_NEAR(polynomials.risk_outside(1.01) / (combined[static_cast<std::size_t>(start - 1)] / share), 1, 1e-6)
        << start;
    polynomials.add_start();
  }
}

TEST(KrylovPolynomials, OfALaterStartVectorDoNotCountTheVectorsBeforeItAtARestart) {
  KrylovPolynomials polynomials(100);
  polynomials.add_product(Eigen::VectorXd::Ones(1), 1e-6);
  polynomials.add_start();
  polynomials.add_product(Eigen::Vector2d(0, 1), 1e-3);
  const double before = polynomials.risk_outside(1.01);
  polynomials.add_restart(Eigen::Matrix2d::Identity());
  EXPECT_NEAR(polynomials.risk_outside(1.01) / before, 1, 1e-12);
}

// --- Claims and bounds -----------------------------------------------------------------------------------------------------

TEST(OuterBound, IsTheNearestThatTheRiskAllows) {
  const Eigen::VectorXd spectrum = Eigen::VectorXd::LinSpaced(60, -1, 2);
  Recurrence recurrence(spectrum, 6);
  for (int step = 0; step < 12; ++step) {
    recurrence.step();
  }
  const KrylovPolynomials& polynomials = recurrence.polynomials;
  for (const double sign : {1.0, -1.0}) {
    const double from = sign > 0 ? 2 : -1;
    for (const double risk : {0.1, 1e-3, 1e-9}) {
      SCOPED_TRACE(std::to_string(sign) + ", risk " + std::to_string(risk));
      const double bound = outer_bound(polynomials, sign, from, 2, 1e-12, risk);
      EXPECT_LE(polynomials.risk_outside(bound), risk);
      if (std::abs(bound - from) > 2e-12) {  // otherwise the risk allows the least distance
        EXPECT_GT(polynomials.risk_outside(from + (bound - from) / 1.02), risk);
      }
      // No bound is nearer than the rounding errors, even if the risk allows it.
      const double distance = std::abs(bound - from);
      EXPECT_EQ(outer_bound(polynomials, sign, from, 2, 1.5 * distance, risk), from + sign * 1.5 * distance);
    }
  }
}

TEST(Claims, OfTheLowerEndAreThoseOfTheMirroredSpectrum) {
  const Eigen::VectorXd spectrum = Eigen::VectorXd::LinSpaced(30, 1, 3);
  Recurrence upper(spectrum, 7);
  Recurrence lower(-spectrum, 7);
  int64_t held = 0;
  int64_t failed = 0;
  for (int step = 1; step <= 28; ++step) {
    upper.step();
    lower.step();
    for (const double width : {0.001, 0.02, 0.05}) {
      EndClaim claim{.sign = 1, .values = {spectrum[29], spectrum[28], spectrum[27]}, .limit = spectrum[27]};
      const bool holds = claim_holds(upper.polynomials, claim, width, 1e-3);
      claim.sign = -1;
      EXPECT_EQ(claim_holds(lower.polynomials, claim, width, 1e-3), holds) << step << " " << width;
      (holds ? held : failed) += 1;
    }
  }
  EXPECT_GT(held, 5);
  EXPECT_GT(failed, 5);
}

TEST(Claims, WithoutValuesAreThatNothingLiesBeyondTheLimit) {
  Recurrence recurrence(Eigen::VectorXd::LinSpaced(30, 1, 3), 8);
  for (int step = 0; step < 10; ++step) {
    recurrence.step();
  }
  const auto holds = [&recurrence](double sign, double limit) {
    return claim_holds(recurrence.polynomials, {.sign = sign, .values = {}, .limit = limit}, 0.01, 1e-3);
  };
  EXPECT_TRUE(holds(-1, 3)) << "no eigenvalue is below -3.01";
  EXPECT_TRUE(holds(1, 4));
  EXPECT_FALSE(holds(1, 2)) << "half of the eigenvalues are above 2.01";
  EXPECT_FALSE(holds(-1, -2));
}

// --- Coverage -----------------------------------------------------------------------------------------------------------

constexpr int64_t copies = 250;

/// Solves copies of one problem, which differ in their start vectors, with a risk of `risk` for each of them.
TopEigenpairs solve(const at::Tensor& spectrum, Ends ends, double risk, int64_t products, int64_t max_basis) {
  // Diagonal matrices suffice: start vectors are uniform on the sphere.
  const DenseOperator op(at::diag_embed(spectrum).unsqueeze(0).expand({copies, -1, -1}).contiguous());
  const int64_t n = spectrum.size(0);
  KrylovPlan plan;
  plan.ends = ends;
  plan.tolerance = 1e-14;  // never reached: the bounds of unfinished iterations are tested
  plan.max_iterations = std::min(products, n);
  plan.max_basis = std::min(max_basis, n);
  plan.kept_ends = Ends::both;
  plan.kept = plan.max_basis / 4;
  plan.certificate = {.width = 0.01, .risk = risk, .rounding = 1e-12};
  return krylov_eigenpairs(op, plan);
}

TEST(Certificate, BoundsFailNoMoreOftenThanTheirRisk) {
  Random random(7);
  auto spectra = spectra_of_size(40, random);
  at::Tensor outlier = at::linspace(-1, 1, 40, at::kDouble);
  outlier[39] = 1.5;
  spectra.push_back({"hidden outlier", outlier});
  spectra.push_back({"of size 1", at::full({1}, -2.0, at::kDouble)});
  spectra.push_back({"of size 2", at::tensor({-1.0, 3.0}, at::kDouble)});
  int64_t failures_seen = 0;
  for (const auto& [name, spectrum] : spectra) {
    for (const double risk : {1.0 / 2, 1.0 / 10, 1.0 / 100}) {
      for (const int64_t max_basis : {40, 8}) {
        SCOPED_TRACE(name + ", risk " + std::to_string(risk) + ", basis " + std::to_string(max_basis));
        const TopEigenpairs both = solve(spectrum, Ends::both, risk, 5, max_basis);
        const TopEigenpairs upper = solve(spectrum, Ends::upper, risk, 14, max_basis);
        const double slack = 1e-9 * largest(spectrum);
        const double lambda_max = spectrum.max().item<double>();
        const double lambda_min = spectrum.min().item<double>();
        const at::Tensor fails =
            (both.upper_bound < lambda_max - slack).logical_or(both.lower_bound > lambda_min + slack);
        const at::Tensor upper_fails = upper.upper_bound < lambda_max - slack;
        for (const at::Tensor& failed : {fails, upper_fails}) {
          const auto count = failed.sum().item<int64_t>();
          const double expected = copies * risk;
          EXPECT_LE(static_cast<double>(count), expected + 4 * std::sqrt(expected)) << "of " << copies << " bounds";
          failures_seen += count;
        }
      }
    }
  }
  EXPECT_GT(failures_seen, 25) << "bounds that never fail are not tested";
}

/// Returns one with a single eigenvalue of 2, whose eigenvector has the given component in the start vector of `seed`; all
/// others lie in [-1, 1].
DenseOperator with_hidden_eigenvalue(int64_t n, double component, uint64_t seed) {
  Random random(seed + 100);
  const DenseOperator any(at::zeros({1, n, n}, at::kDouble));
  const at::Tensor q = random_unit_vectors(any, {seed, {}})[0];
  at::Tensor u = random.normal({n});
  u = u - u.dot(q) * q;
  u = component * q + std::sqrt(1 - component * component) * u / u.norm();
  const at::Tensor rest = at::eye(n, at::kDouble) - at::outer(u, u);
  const at::Tensor others = random.with_spectrum(at::linspace(-1, 1, n, at::kDouble).unsqueeze(0))[0];
  return DenseOperator((at::mm(rest, at::mm(others, rest)) + 2 * at::outer(u, u)).unsqueeze(0));
}

TEST(Certificate, StartVectorsThatHideAnEigenvalueAreCaughtOrWithinTheRisk) {
  int64_t missed = 0;
  for (uint64_t seed = 0; seed < 6; ++seed) {
    for (const double component : {1e-2, 1e-4, 1e-6, 1e-8, 1e-10, 1e-12}) {
      for (const double confidence : {0.5, 0.999, 1 - 1e-9}) {
        SCOPED_TRACE(std::to_string(seed) + " " + std::to_string(component) + " " + std::to_string(confidence));
        const DenseOperator op = with_hidden_eigenvalue(80, component, seed);
        const CertificateOptions certificate{.certify = 0.01, .confidence = confidence};
        const ExtremalEigenvalues ends =
            lanczos(op, {.ends = Ends::dominant, .certificate = certificate, .max_iterations = 60, .seed = seed});
        const bool found = ends.converged.item<bool>() && ends.spectral_norm().item<double>() > 1.98;
        const bool bounded = ends.norm_upper().item<double>() > 2 - 1e-9;
        const double risk = start_component_probability(component * component, 80);
        if (risk > (1 - confidence) / 2) {
          EXPECT_TRUE(bounded) << "the bound fails although the start vector is not that rare: " << risk;
          EXPECT_TRUE(found) << ends.spectral_norm().item<double>() << " after " << ends.iterations.item<int>();
        }
        missed += bounded ? 0 : 1;
      }
    }
  }
  EXPECT_GT(missed, 0) << "the case never hides the eigenvalue";
}

TEST(Certificate, ConvergedNormsAreWithinTheirBoundsAndTheirTolerance) {
  // The first has a dominant eigenvalue that a small residual elsewhere can hide: without the certificate, several of 20
  // seeds stop at the other end.
  const at::Tensor near = at::cat({at::linspace(-1.02, -0.2, 300, at::kDouble), at::ones({1}, at::kDouble)});
  Random random(8);
  auto spectra = spectra_of_size(60, random);
  spectra.push_back({"near the other end", near});
  for (const auto& [name, spectrum] : spectra) {
    const DenseOperator op(at::diag_embed(spectrum).unsqueeze(0).expand({20, -1, -1}).contiguous());
    const double norm = largest(spectrum);
    for (const Ends ends : {Ends::dominant, Ends::both}) {
      SCOPED_TRACE(name + (ends == Ends::both ? ", both ends" : ", dominant"));
      const ExtremalEigenvalues found = lanczos(op, {.ends = ends, .max_iterations = 300});
      EXPECT_TRUE(found.converged.all().item<bool>());
      EXPECT_LE(largest(found.spectral_norm() - norm), 0.01 * norm);
      EXPECT_GE(found.norm_upper().min().item<double>(), norm * (1 - 1e-12));
      EXPECT_LE(found.norm_upper().max().item<double>(), norm * 1.011 + 1e-300);
      EXPECT_GE(found.lambda_max_upper.min().item<double>(), spectrum.max().item<double>() - 1e-12 * norm);
      EXPECT_LE(found.lambda_min_lower.max().item<double>(), spectrum.min().item<double>() + 1e-12 * norm);
      if (ends == Ends::both) {
        EXPECT_LE(largest(found.lambda_max - spectrum.max()), 0.01 * norm);
        EXPECT_LE(largest(found.lambda_min - spectrum.min()), 0.01 * norm);
      }
    }
  }
}

TEST(Certificate, HoldsForAllProblemsOfARunTogether) {
  const at::Tensor spectrum = at::linspace(-1, 1, 100, at::kDouble);
  const DenseOperator op(at::diag_embed(spectrum).unsqueeze(0));
  LanczosOptions options{.max_iterations = 12, .max_basis = 12};
  const double alone = lanczos(op, options).norm_upper().item<double>();
  options.certificate.joint_problems = 1;
  EXPECT_EQ(lanczos(op, options).norm_upper().item<double>(), alone);
  options.certificate.joint_problems = 1000;
  const double of_many = lanczos(op, options).norm_upper().item<double>();
  EXPECT_GT(of_many, alone);
  // A thousandth of the risk for each is a confidence of 1 - 1e-6 for one.
  options.certificate = {.confidence = 1 - 1e-6};
  EXPECT_NEAR(lanczos(op, options).norm_upper().item<double>(), of_many, 1e-6);
}

TEST(Certificate, OfExhaustedSpacesNeedsFurtherStartVectors) {
  // In float32 a single product cannot see an eigenvector whose component is below the rounding error.
  const DenseOperator op(at::eye(200, at::kFloat).unsqueeze(0) * 3);
  const ExtremalEigenvalues ends = lanczos(op, {.ends = Ends::dominant});
  EXPECT_TRUE(ends.converged.item<bool>());
  EXPECT_NEAR(ends.spectral_norm().item<double>(), 3, 1e-5);
  EXPECT_LE(ends.norm_upper().item<double>(), 3.031);
  EXPECT_LE(ends.iterations.item<int>(), 12);
  const DenseOperator zero(at::zeros({1, 200, 200}, at::kFloat));
  const ExtremalEigenvalues of_zero = lanczos(zero, {.ends = Ends::dominant});
  EXPECT_TRUE(of_zero.converged.item<bool>());
  EXPECT_EQ(of_zero.norm_upper().item<double>(), 0);
  EXPECT_EQ(of_zero.iterations.item<int>(), 1);
}

TEST(Certificate, OfSeveralEigenvaluesIsThatNoneOfThemIsMissing) {
  // Eigenvalues 3 and 2.9 on top, the second hidden from the start vector but for a component of 1e-4.
  const int64_t n = 120;
  Random random(9);
  int64_t refused = 0;
  for (uint64_t seed = 0; seed < 10; ++seed) {
    SCOPED_TRACE(seed);
    const DenseOperator hidden = with_hidden_eigenvalue(n, 1e-4, seed);
    for (const Ends ends : {Ends::upper, Ends::dominant, Ends::both}) {
      const TopEigenpairs pairs =
          top_eigenpairs(hidden, {.count = 3, .ends = ends, .max_iterations = 100, .seed = seed});
      ASSERT_TRUE(pairs.certified.item<bool>());
      EXPECT_TRUE(pairs.converged.all().item<bool>());
      EXPECT_NEAR(pairs.values[0][0].item<double>(), 2, 1e-4);
      EXPECT_GE(pairs.upper_bound.item<double>(), 2 - 1e-12);
      // So few products cannot find all three, and say so.
      const TopEigenpairs few = top_eigenpairs(hidden, {.count = 3, .ends = ends, .max_iterations = 14, .seed = seed});
      const at::Tensor exact = std::get<0>(at::linalg_eigh(to_dense(hidden)[0])).flip(0);
      const bool right =
          ends != Ends::dominant && largest(few.values[0].narrow(0, 0, 3) - exact.narrow(0, 0, 3)) < 0.02;
      EXPECT_TRUE(right || !few.certified.item<bool>());
      refused += few.certified.item<bool>() ? 0 : 1;
      EXPECT_FALSE(few.converged.logical_and(few.certified.logical_not().unsqueeze(1)).any().item<bool>());
    }
  }
  EXPECT_GT(refused, 5);
}

TEST(Certificate, IsLeftOutWhereItIsNotWanted) {
  const DenseOperator op(at::diag_embed(at::linspace(-1, 2, 50, at::kDouble)).unsqueeze(0));
  const ExtremalEigenvalues without = lanczos(op, {.ends = Ends::both, .certificate = {.certify = 0}});
  EXPECT_TRUE(without.converged.item<bool>());
  EXPECT_TRUE(without.norm_upper().isnan().item<bool>());
  EXPECT_TRUE(power_extremes(op, {.tolerance = 0.1, .ends = Ends::dominant}).norm_upper().isnan().item<bool>());
  EXPECT_TRUE(spectra_extremes(op).norm_upper().isnan().item<bool>());
  const TopEigenpairs block = top_eigenpairs(op, {.count = 2, .block_width = 2});
  EXPECT_FALSE(block.certified.item<bool>());
  EXPECT_TRUE(block.converged.all().item<bool>());
  EXPECT_TRUE(block.upper_bound.isnan().item<bool>());
  // Only the ends that were asked for are bounded.
  EXPECT_TRUE(lanczos(op, {.ends = Ends::upper}).lambda_min_lower.isnan().item<bool>());
  EXPECT_GE(lanczos(op, {.ends = Ends::upper}).lambda_max_upper.item<double>(), 2 - 1e-12);
  EXPECT_GE(largest_eigenpair(op).bound, 2 - 1e-12);
  EXPECT_LE(largest_eigenpair(op, {.ends = Ends::lower}).bound, -1 + 1e-12);
}

TEST(Certificate, OptionsOutOfRangeAreRefused) {
  const DenseOperator op(at::eye(20, at::kFloat).unsqueeze(0));
  const auto refusal = [&op](const CertificateOptions& certificate) {
    return refusal_of<std::invalid_argument>([&] { lanczos(op, {.certificate = certificate}); });
  };
  EXPECT_EQ(refusal({.certify = -1}), "certify is -1; it must be positive, or 0 for no certificate");
  EXPECT_EQ(refusal({.certify = std::nan("")}), "certify is nan; it must be positive, or 0 for no certificate");
  EXPECT_EQ(refusal({.confidence = 1}), "the confidence is 1; it must be between 0 and 1");
  EXPECT_EQ(refusal({.certify = 1e-6}),
            "certify is 1e-06; it must be at least 1e-05, the relative error of the operator's products");
  EXPECT_EQ(refusal({.certify = 0.005, .product_error = 0.01}),
            "certify is 0.005; it must be at least 0.01, the relative error of the operator's products");
}

}  // namespace
}  // namespace hessian::tests
