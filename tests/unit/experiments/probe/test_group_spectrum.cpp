#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <ATen/CPUGeneratorImpl.h>
#include <algorithm>
#include <limits>
#include <memory>
#include <nlohmann/json.hpp>
#include <numeric>
#include <optional>
#include <string>

#include "counting_operator.h"
#include "hessian/dense_operator.h"
#include "hessian/diagonal.h"
#include "hessian/norms.h"
#include "hessian/trace.h"
#include "spectrum/estimates.h"
#include "spectrum/layout.h"
#include "spectrum/spectrum.h"

// Tests the results of a group of matrices, which are computed in chunks, named by the layout only, and reported for
// any name of the group.

namespace hessian::tests {
namespace {

using experiments::GroupSpectrum;
using experiments::SpectrumGroup;
using experiments::SpectrumOptions;
using experiments::SpectrumReport;
using experiments::StoredTensor;

class GroupSpectra : public testing::TestWithParam<std::string> {
 protected:
  static constexpr int64_t problems = 3;
  static constexpr int64_t dim = 12;

  GroupSpectra() {
    options.top = 2;
    options.trace = experiments::TraceMethod::hutchinson;
    options.density = options.diagonal = options.vectors = true;
    options.steps = 6;
    options.probe.tolerance = 1e-9;
    options.probe.max_iterations = 500;
    const at::Tensor a = at::randn({problems, dim, dim}, at::detail::createCPUGenerator(7), at::kDouble);
    matrices = a + a.transpose(1, 2);
  }

  GroupSpectrum estimate(int64_t problems_at_once, const std::string& name = "group") const {
    const SpectrumGroup group{name, "a test's matrices", problems, dim};
    return experiments::estimate_group(options, group, dim, [&](const auto& visit) {
      for (int64_t first = 0; first < problems; first += problems_at_once) {
        const int64_t count = std::min(problems_at_once, problems - first);
        std::vector<int64_t> numbers(static_cast<std::size_t>(count));
        std::iota(numbers.begin(), numbers.end(), first);
        visit({std::make_shared<DenseOperator>(matrices.narrow(0, first, count)), numbers});
      }
    });
  }

  SpectrumOptions options;
  at::Tensor matrices;
};

TEST_P(GroupSpectra, AgreeWithTheDenseMatricesAlsoInChunks) {
  const at::Tensor exact = at::linalg_eigvalsh(matrices);
  const at::Tensor largest = exact.narrow(1, dim - 2, 2).flip({1});
  for (const int64_t at_once : {problems, int64_t{2}}) {
    SCOPED_TRACE(at_once);
    const GroupSpectrum found = estimate(at_once);
    EXPECT_TRUE(at::allclose(found.upper->values, largest, 1e-7));
    EXPECT_TRUE(at::allclose(found.lower->values, exact.narrow(1, 0, 2), 1e-7));
    EXPECT_TRUE((found.upper->converged == 1).all().item<bool>());
    // Eigenvectors: H v = lambda v.
    const at::Tensor& vectors = found.upper->vectors;
    const at::Tensor products = at::matmul(matrices, vectors.transpose(1, 2)).transpose(1, 2);
    EXPECT_TRUE(at::allclose(products, found.upper->values.unsqueeze(2) * vectors, 1e-5, 1e-5));
    // Estimates: within 6 standard errors, which none of so few exceeds.
    const at::Tensor trace = matrices.diagonal(0, 1, 2).sum(1);
    EXPECT_TRUE(((found.trace->value - trace).abs() <= 6 * found.trace->standard_error).all().item<bool>());
    const at::Tensor diagonal_error = (found.diagonal->value - matrices.diagonal(0, 1, 2)).abs();
    EXPECT_TRUE((diagonal_error <= 6 * found.diagonal->standard_error + 1e-9).all().item<bool>());
  }
}

TEST_P(GroupSpectra, TakeFourTimesAsManySamplesForTracesNormAndDiagonalAsForADensity) {
  options.samples = 3;
  const DenseOperator op(matrices);
  const SampleOptions samples{.samples = 12, .seed = options.probe.seed};
  const auto expect_same = [](const Estimate& found, const Estimate& expected) {
    EXPECT_TRUE(at::equal(found.value, expected.value));
    EXPECT_TRUE(at::equal(found.standard_error, expected.standard_error));
  };
  const GroupSpectrum found = estimate(problems);
  expect_same(*found.trace, hutchinson_trace(op, samples));
  expect_same(*found.frobenius_norm, frobenius_norm(op, samples));
  expect_same(*found.effective_rank, participation_ratio(op, samples));
  expect_same(*found.diagonal, estimate_diagonal(op, samples));
  EXPECT_EQ(found.density->quadrature.nodes.size(0), 3 * problems);
  options.trace = experiments::TraceMethod::hutch_plus_plus;
  expect_same(*estimate(problems).trace, hutch_plus_plus_trace(op, {.products = 12, .seed = options.probe.seed}));
}

TEST_P(GroupSpectra, HaveTheShapesOfTheirDatasets) {
  GroupSpectrum found = estimate(2);
  const auto stored = experiments::stored_tensors(options, found);
  const auto datasets = experiments::spectrum_datasets(options, found.group);
  ASSERT_EQ(stored.size() + 1, datasets.size());  // and `entries`
  for (const StoredTensor& one : stored) {
    EXPECT_EQ(one.tensor->sizes().vec(), one.spec.shape) << one.spec.path;
    EXPECT_TRUE(one.spec.path.ends_with("/group/" + one.quantity)) << one.spec.path;
  }
}

TEST_P(GroupSpectra, HaveTheSameNumbersForAnyNameOfTheGroup) {
  SpectrumReport report;
  report.options = options;
  report.groups = {estimate(problems, GetParam()), estimate(problems, "plain")};
  for (GroupSpectrum& spectrum : report.groups) {
    spectrum.release_large();
  }
  const auto groups = nlohmann::json::parse(experiments::format_json(report)).at("groups");
  ASSERT_EQ(groups.size(), 2U);
  EXPECT_EQ(groups[0].at("name"), GetParam());
  for (const auto& [key, value] : groups[1].items()) {
    if (key != "name") {
      EXPECT_EQ(groups[0].value(key, nlohmann::json("absent")), value) << key;
    }
  }
  for (const char* key : {"lambda_upper", "lambda_lower", "iterations", "trace", "trace_error", "frobenius_norm",
                          "effective_rank", "grid", "density", "mass_near_zero", "ritz_values"}) {
    EXPECT_TRUE(groups[0].contains(key)) << key;
  }
  for (const char* key : {"vectors_upper", "diagonal", "diagonal_error"}) {
    EXPECT_FALSE(groups[0].contains(key)) << key;
  }
  EXPECT_THAT(experiments::format_text(report), testing::HasSubstr("effective rank"));
}

TEST_P(GroupSpectra, WarnOnlyOfPairsThatDidNotConverge) {
  SpectrumReport report;
  report.options = options;
  report.groups = {estimate(problems, GetParam())};
  report.groups[0].trace->standard_error.zero_();  // zeros in an estimate must not count as unconverged
  EXPECT_THAT(experiments::warnings_of(report), testing::IsEmpty());
  report.groups[0].lower->converged[1][0] = 0;
  EXPECT_THAT(experiments::warnings_of(report), testing::ElementsAre(testing::StartsWith("1 eigenpairs did not")));
}

using GroupSpectraOnce = GroupSpectra;

TEST_P(GroupSpectraOnce, TakeOneSetOfProductsForAllEstimates) {
  // 4 * samples products; Hutch++ takes the largest multiple of 3 within as many of its own.
  options.top = 0;
  options.vectors = options.density = false;
  options.samples = 8;
  const SpectrumGroup group{"group", "a test's matrices", problems, dim};
  const auto products_with = [&](std::optional<experiments::TraceMethod> trace, bool diagonal) {
    options.trace = trace;
    options.diagonal = diagonal;
    support::Count count;
    experiments::estimate_group(options, group, dim, [&](const auto& visit) {
      visit({std::make_shared<support::CountingOperator>(matrices, &count), {0, 1, 2}});
    });
    return count.products / problems;
  };
  EXPECT_EQ(products_with(experiments::TraceMethod::hutchinson, false), 32);
  EXPECT_EQ(products_with(experiments::TraceMethod::hutchinson, true), 32);
  EXPECT_EQ(products_with(experiments::TraceMethod::hutch_plus_plus, false), 32 + 30);
  EXPECT_EQ(products_with(experiments::TraceMethod::hutch_plus_plus, true), 32 + 30);
  EXPECT_EQ(products_with(std::nullopt, true), 32);
}

TEST_P(GroupSpectraOnce, SayWhichMatricesAreNotFiniteAndKeepTheOthers) {
  const GroupSpectrum before = estimate(2);
  matrices[1][2][2] = std::numeric_limits<double>::quiet_NaN();
  SpectrumReport report;
  report.options = options;
  report.groups = {estimate(2)};
  const GroupSpectrum& after = report.groups.front();
  for (const int64_t matrix : {0, 2}) {
    EXPECT_TRUE(at::allclose(after.trace->value[matrix], before.trace->value[matrix]));
    EXPECT_TRUE(at::allclose(after.upper->values[matrix], before.upper->values[matrix]));
    EXPECT_TRUE(at::allclose(after.diagonal->value[matrix], before.diagonal->value[matrix]));
  }
  EXPECT_TRUE(after.trace->value[1].isnan().item<bool>());
  EXPECT_TRUE(after.upper->values[1].isnan().all().item<bool>());
  EXPECT_EQ(after.iterations[1].item<double>(), 1);
  EXPECT_TRUE(after.density->density.value.isfinite().all().item<bool>());
  EXPECT_GT(after.density->density.value.max().item<double>(), 0.0);
  const std::string text = experiments::format_text(report);
  EXPECT_THAT(text, testing::Not(testing::ContainsRegex("nan[^a-z]")));
  EXPECT_THAT(text, testing::HasSubstr("; none is missing; without 1 of 3, which are not finite"));
  EXPECT_THAT(text, testing::HasSubstr("density from 16 samples of 6 steps"));
  EXPECT_THAT(experiments::warnings_of(report),
              testing::ElementsAre(testing::StartsWith("4 eigenpairs are not finite"),
                                   testing::StartsWith("the estimates of 1 matrices are not finite")));
  report.options.probe.dtype = at::kFloat;
  EXPECT_THAT(experiments::warnings_of(report), testing::Each(testing::EndsWith("; give --dtype float64")));
  report.options.probe.dtype = at::kDouble;
  EXPECT_THAT(experiments::warnings_of(report), testing::Each(testing::EndsWith(" even in float64")));
  EXPECT_TRUE(nlohmann::json::parse(experiments::format_json(report)).at("groups")[0].at("trace")[1].is_null());
}

TEST_P(GroupSpectraOnce, NameEveryNumberThatDoesNotExist) {
  SpectrumReport report;
  report.options = options;
  const auto text_of = [&] {
    report.groups = {estimate(problems)};
    const std::string text = experiments::format_text(report);
    EXPECT_THAT(text, testing::Not(testing::ContainsRegex("nan[^a-z]")));
    return text;
  };
  const at::Tensor zero = at::zeros_like(matrices);
  const at::Tensor exchange = at::diag(at::tensor({1.0, -1.0}, at::kDouble).repeat({dim / 2})).expand_as(matrices);
  matrices = at::full_like(zero, std::numeric_limits<double>::quiet_NaN());
  const std::string nothing = text_of();
  for (const char* line : {"upper not finite", "lower not finite", "trace not finite", "Frobenius norm not finite",
                           "effective rank not finite", "density not finite"}) {
    EXPECT_THAT(nothing, testing::HasSubstr(line));
  }
  matrices = zero;
  EXPECT_THAT(text_of(), testing::HasSubstr("effective rank undefined (trace 0)"));
  matrices = exchange;
  EXPECT_THAT(text_of(), testing::HasSubstr("effective rank undetermined (the trace is within 2 standard errors"));
  // One matrix with a trace, two without: the mean is that of the one.
  matrices = exchange.clone();
  matrices[1] = at::eye(dim, at::kDouble);
  EXPECT_THAT(text_of(), testing::HasSubstr("effective rank 12 +- 0; without 2 of 3, whose traces are within"));
  const auto group = nlohmann::json::parse(experiments::format_json(report)).at("groups")[0];
  EXPECT_EQ(group.at("effective_rank_determined"), nlohmann::json({0.0, 1.0, 0.0}));
}

INSTANTIATE_TEST_SUITE_P(Names, GroupSpectraOnce, testing::Values("group"));
INSTANTIATE_TEST_SUITE_P(Names, GroupSpectra,
                         testing::Values("diagonal-", "vectors_-", "converged", "lambda_upper", "entries"));

}  // namespace
}  // namespace hessian::tests
