#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "claims.h"
#include "reproduction/curvature.h"
#include "reproduction/sections.h"
#include "run_file_support.h"
#include "table_file.h"

// Tests each rule about norms, scales, single maps and step times with numbers that were worked out by hand, for seeds that
// disagree.

namespace hessian::tests {
namespace {

using analysis::Claim;
using analysis::CurvatureResults;
using analysis::FamilyRuns;
using analysis::PlacedRun;
using analysis::SiteProbes;
using analysis::Verdict;

using Matrix = std::vector<std::vector<double>>;  // [P, N]: probes, layers

/// Returns the probes of a site with these norms, medians of three sequences, and these RMS values. The largest and the
/// smallest norm of the sequences have the opposite order.
SiteProbes site_of(const Matrix& norms, const Matrix& rms, const std::string& name = "residual") {
  SiteProbes site;
  site.site = name;
  site.sequences = 3;
  for (std::size_t layer = 0; layer < norms.front().size(); ++layer) {
    site.layers.push_back(static_cast<int64_t>(layer));
  }
  for (std::size_t probe = 0; probe < norms.size(); ++probe) {
    site.steps.push_back(static_cast<int64_t>(10 * probe));
    for (const double norm : norms[probe]) {
      site.spectral_norm.insert(site.spectral_norm.end(), {1000 / norm, norm, 0.001 / norm});
      site.converged.insert(site.converged.end(), {1, 1, 1});
    }
    site.rms.insert(site.rms.end(), rms[probe].begin(), rms[probe].end());
  }
  return site;
}

PlacedRun run_of(const std::string& placement, int64_t seed, std::vector<SiteProbes> sites) {
  PlacedRun run{placement, seed, {}};
  run.content.sites = std::move(sites);
  return run;
}

/// Returns a run of one layer, whose norm is 1 at first and then `norm`.
PlacedRun run_of_norm(const std::string& placement, int64_t seed, double norm) {
  return run_of(placement, seed, {site_of({{1}, {norm}}, {{1}, {1}})});
}

Claim norm_claim(const std::vector<PlacedRun>& runs, const std::string& words = "‖H_xx‖: SimpleNorm") {
  CurvatureResults results;
  results.families = {FamilyRuns{"llama2", runs}};
  return claim_with(norms_section(results).claims, words);
}

TEST(OrderOfNorms, ComparesRunsOfTheSameSeedInAnyOrderOfTheRuns) {
  std::vector<PlacedRun> runs = {run_of_norm("simplegpt", 0, 1),  run_of_norm("simplegpt", 1, 10),
                                 run_of_norm("preqknorm", 1, 20), run_of_norm("preqknorm", 0, 2),
                                 run_of_norm("prenorm", 0, 3),    run_of_norm("prenorm", 1, 30)};
  for (int order = 0; order < 2; ++order) {
    EXPECT_EQ(norm_claim(runs).ours, "2 of 2 cases (100 %)");
    std::reverse(runs.begin(), runs.end());
  }
  runs.erase(runs.begin() + 2);  // PreNorm + QKNorm of seed 1
  EXPECT_EQ(norm_claim(runs).ours, "1 of 1 cases (100 %)");
}

TEST(OrderOfNorms, CountsAllThreePlacementsStrictly) {
  const auto holds = [](double simple, double qk, double pre) {
    return norm_claim(
               {run_of_norm("simplegpt", 0, simple), run_of_norm("preqknorm", 0, qk), run_of_norm("prenorm", 0, pre)})
        .ours.starts_with("1 of 1");
  };
  EXPECT_TRUE(holds(1, 2, 3));
  EXPECT_FALSE(holds(2, 1, 3));
  EXPECT_FALSE(holds(1, 3, 2));
  EXPECT_FALSE(holds(2, 2, 3));
  EXPECT_FALSE(holds(1, 2, 2));
}

/// Returns the runs of one seed with ten layers and two probes. At the second one `failing` layers, the first ones, are in
/// the opposite order; the first probe is in the opposite order everywhere.
std::vector<PlacedRun> runs_with_failures(std::size_t failing, int64_t seed = 0, double rms_of_prenorm = 1) {
  const std::vector<double> low(10, 1.0);
  const std::vector<double> high(10, 3.0);
  std::vector<double> simple = low;
  std::vector<double> pre = high;
  std::fill_n(simple.begin(), failing, 3.0);
  std::fill_n(pre.begin(), failing, 1.0);
  const std::vector<double> middle(10, 2.0);
  const std::vector<double> ones(10, 1.0);
  const std::vector<double> rms(10, rms_of_prenorm);
  return {run_of("simplegpt", seed, {site_of({high, simple}, {ones, ones})}),
          run_of("preqknorm", seed, {site_of({middle, middle}, {ones, ones})}),
          run_of("prenorm", seed, {site_of({low, pre}, {std::vector<double>(10, 9.0), rms})})};
}

TEST(OrderOfNorms, HoldsInNineOfTenCasesAfterTheFirstProbe) {
  EXPECT_EQ(norm_claim(runs_with_failures(1)).ours, "9 of 10 cases (90 %)");
  EXPECT_EQ(norm_claim(runs_with_failures(1)).verdict, Verdict::holds);
  EXPECT_EQ(norm_claim(runs_with_failures(2)).ours, "8 of 10 cases (80 %)");
  EXPECT_EQ(norm_claim(runs_with_failures(2)).verdict, Verdict::does_not_hold);
  // One seed alone would pass, the other would not.
  std::vector<PlacedRun> both = runs_with_failures(0, 0);
  for (PlacedRun& run : runs_with_failures(3, 1)) {
    both.push_back(std::move(run));
  }
  EXPECT_EQ(norm_claim(both).ours, "17 of 20 cases (85 %)");
  EXPECT_EQ(norm_claim(both).verdict, Verdict::does_not_hold);
  EXPECT_EQ(norm_claim({}).verdict, Verdict::undecided);
}

TEST(OrderOfNorms, AtTheInputIsThatOfTheFirstLayer) {
  EXPECT_EQ(norm_claim(runs_with_failures(1), "input of the first layer").ours, "0 of 1 cases (0 %)");
  EXPECT_EQ(norm_claim(runs_with_failures(0), "input of the first layer").ours, "1 of 1 cases (100 %)");
}

TEST(OrderOfNorms, RelativeToTheScaleIsThatOfNormTimesSquaredRms) {
  // 3 0.9^2 = 2.43 is above 2, 3 0.8^2 = 1.92 below.
  EXPECT_EQ(norm_claim(runs_with_failures(0, 0, 0.9), "relative to the activation's scale").ours,
            "10 of 10 cases (100 %)");
  EXPECT_EQ(norm_claim(runs_with_failures(0, 0, 0.8), "relative to the activation's scale").ours,
            "0 of 10 cases (0 %)");
  EXPECT_EQ(norm_claim(runs_with_failures(0, 0, 0.8)).ours, "10 of 10 cases (100 %)") << "not relative";
}

/// Returns a run of two layers whose RMS is 2 and 0.5 at first, and then multiplied by the factors of each probe.
PlacedRun run_of_factors(const std::string& placement, int64_t seed, const Matrix& factors,
                         const std::string& name = "residual") {
  Matrix rms = {{2, 0.5}};
  for (const std::vector<double>& of_probe : factors) {
    rms.push_back({2 * of_probe[0], 0.5 * of_probe[1]});
  }
  return run_of(placement, seed, {site_of(rms, rms, name)});
}

Claim drift_claim(const std::vector<PlacedRun>& runs) {
  CurvatureResults results;
  results.families = {FamilyRuns{"llama2", runs}};
  return claim_with(scales_section(results).claims, "scales stable");
}

TEST(Drift, IsTheLargestFactorUpwardsOrDownwardsOfAnyLayerAtAnyProbe) {
  const PlacedRun prenorm = run_of_factors("prenorm", 0, {{1, 10}});
  const auto drift_of = [&](const Matrix& factors) {
    return drift_claim({run_of_factors("simplegpt", 0, factors), prenorm}).ours;
  };
  EXPECT_EQ(drift_of({{1, 1}, {1, 1}}), "by a factor of 1; PreNorm 10");
  EXPECT_EQ(drift_of({{1, 1}, {1.5, 1}}), "by a factor of 1.5; PreNorm 10");
  EXPECT_EQ(drift_of({{1, 1}, {1, 0.25}}), "by a factor of 4; PreNorm 10");
  EXPECT_EQ(drift_of({{1, 0.25}, {1.5, 1}}), "by a factor of 4; PreNorm 10") << "and back";
  EXPECT_EQ(drift_of({{3, 1}, {1, 1}}), "by a factor of 3; PreNorm 10") << "and back";
  EXPECT_EQ(drift_of({{0.5, 3}, {1, 1}}), "by a factor of 3; PreNorm 10") << "both ways";
}

TEST(Drift, CountsEverySite) {
  PlacedRun simple = run_of_factors("simplegpt", 0, {{1, 1}});
  simple.content.sites.push_back(run_of_factors("simplegpt", 0, {{1, 0.4}}, "ffn_in").content.sites.front());
  EXPECT_EQ(drift_claim({simple, run_of_factors("prenorm", 0, {{1, 10}})}).ours, "by a factor of 2.5; PreNorm 10");
}

TEST(Drift, IsTheMedianOverSeeds) {
  std::vector<PlacedRun> runs = {
      run_of_factors("simplegpt", 0, {{1, 3}}),     run_of_factors("simplegpt", 1, {{1, 1 / 1.6}}),
      run_of_factors("simplegpt", 2, {{1.9, 1}}),   run_of_factors("prenorm", 0, {{1, 1}}),
      run_of_factors("prenorm", 1, {{1, 1 / 7.0}}), run_of_factors("prenorm", 2, {{5, 1}})};
  for (int order = 0; order < 2; ++order) {
    const Claim claim = drift_claim(runs);
    EXPECT_EQ(claim.ours, "by a factor of 1.9; PreNorm 5");
    EXPECT_EQ(claim.verdict, Verdict::holds);
    std::reverse(runs.begin(), runs.end());
  }
}

TEST(Drift, MustBeBelowTwoAndBelowThatOfPreNorm) {
  const auto verdict = [](double simple, double prenorm) {
    return drift_claim({run_of_factors("simplegpt", 0, {{1, simple}}), run_of_factors("prenorm", 0, {{1, prenorm}})})
        .verdict;
  };
  EXPECT_EQ(verdict(1.9, 3), Verdict::holds);
  EXPECT_EQ(verdict(1 / 1.9, 3), Verdict::holds);
  EXPECT_EQ(verdict(2, 3), Verdict::does_not_hold);
  EXPECT_EQ(verdict(0.5, 3), Verdict::does_not_hold);
  EXPECT_EQ(verdict(1.9, 1.8), Verdict::does_not_hold);
  EXPECT_EQ(verdict(1.9, 1 / 1.8), Verdict::does_not_hold);
}

TEST(Drift, IsUndecidedWithoutAProbeAfterTheFirst) {
  const PlacedRun prenorm = run_of_factors("prenorm", 0, {{1, 10}});
  EXPECT_EQ(drift_claim({run_of_factors("simplegpt", 0, {}), prenorm}).verdict, Verdict::undecided);
  EXPECT_EQ(drift_claim({run_of("simplegpt", 0, {}), prenorm}).verdict, Verdict::undecided);
  EXPECT_EQ(drift_claim({prenorm}).verdict, Verdict::undecided);
}

/// Returns a run with this RMS before training.
PlacedRun run_of_start(const std::string& placement, const std::vector<double>& rms, int64_t seed = 0) {
  return run_of(placement, seed, {site_of({rms, rms}, {rms, std::vector<double>(rms.size(), 100.0)})});
}

Claim start_claim(const std::string& family, const std::vector<PlacedRun>& runs) {
  CurvatureResults results;
  results.families = {FamilyRuns{family, runs}};
  return claim_with(scales_section(results).claims, "√(1 + 2l)");
}

TEST(ScalesAtTheStart, FollowTheTheoryOfTheirPlacementInEverySeed) {
  // With an embedding of RMS 0.5: the root of 0.25, 2.25 and 4.25 for SimpleNorm, and 0.5 for the others.
  const double last = std::sqrt(4.25);
  const std::vector<PlacedRun> exact = {run_of_start("simplegpt", {0.5, 1.5, last}),
                                        run_of_start("prenorm", {0.5, 0.5, 0.5}),
                                        run_of_start("preqknorm", {0.5, 0.5, 0.5})};
  EXPECT_EQ(start_claim("llama2", exact).ours, "within 0.0 %");
  EXPECT_EQ(start_claim("llama2", exact).verdict, Verdict::holds);
  const auto with = [&exact](const PlacedRun& deviating) {
    std::vector<PlacedRun> runs = exact;
    runs.insert(runs.begin() + 1, deviating);
    return start_claim("llama2", runs);
  };
  EXPECT_EQ(with(run_of_start("simplegpt", {0.5, 1.5 * 0.91, last}, 1)).ours, "within 9.0 %");
  EXPECT_EQ(with(run_of_start("simplegpt", {0.5, 1.5 * 0.91, last}, 1)).verdict, Verdict::holds);
  EXPECT_EQ(with(run_of_start("simplegpt", {0.5, 1.5 * 0.88, last}, 1)).ours, "within 12.0 %");
  EXPECT_EQ(with(run_of_start("simplegpt", {0.5, 1.5 * 0.88, last}, 1)).verdict, Verdict::does_not_hold);
  EXPECT_EQ(with(run_of_start("simplegpt", {0.5, 1.5, 1.12 * last}, 1)).verdict, Verdict::does_not_hold);
  EXPECT_EQ(with(run_of_start("prenorm", {0.5, 1.5, last}, 1)).verdict, Verdict::does_not_hold);
  EXPECT_EQ(start_claim("gpt2", exact).verdict, Verdict::undecided) << "the theory is for the Llama families";
}

/// Points of one map as columns of a run file: weight norms and ||H_xx||, at a width.
struct MapRow {
  std::string map;
  int64_t width;
  double weight_norm;
  double spectral_norm;
  int64_t seed = 0;
};

analysis::ClaimSection map_section(const TemporaryFolder& folder, const std::vector<MapRow>& rows) {
  TableFile file;
  file.add("/synthetic/map", column_of(rows, &MapRow::map));
  file.add("/synthetic/width", column_of(rows, &MapRow::width));
  file.add("/synthetic/weight_norm", column_of(rows, &MapRow::weight_norm));
  file.add("/synthetic/seed", column_of(rows, &MapRow::seed));
  file.add("/synthetic/spectral_norm", column_of(rows, &MapRow::spectral_norm));
  file.add("/synthetic/converged", std::vector<uint8_t>(rows.size(), 1));
  file.write(folder / "synthetic.h5");
  return analysis::maps_section(folder / "synthetic.h5");
}

std::vector<Claim> map_claims(const TemporaryFolder& folder, const std::vector<MapRow>& rows) {
  return map_section(folder, rows).claims;
}

TEST(SlopesOfMaps, AreLeastSquaresWithAConfidenceIntervalAtTheWidthWhoseWeightsVary) {
  const TemporaryFolder folder;
  // Logarithms of the norms: -1, 0, 1; of the seeds' H_xx around slope 2: errors 0.03, -0.06, 0.03. Their squares sum to
  // 0.0054, over 1 degree of freedom and a sum of squares of 2: 1.96 sqrt(0.0054 / 2) = 0.102.
  const double e = std::exp(1.0);
  const auto claims = map_claims(folder, {{"linear", 64, 1 / e, std::exp(-2 + 0.03)},
                                          {"linear", 64, 1, std::exp(-0.06)},
                                          {"linear", 64, e, std::exp(2 + 0.03)},
                                          {"linear", 128, 1, 1000},  // enters the slope against width only
                                          {"linear", 32, 1, 0.001},
                                          {"rmsnorm before", 64, e, 7},
                                          {"simplenorm", 64, 1 / e, 1},
                                          {"simplenorm", 64, 1, 1},
                                          {"simplenorm", 64, e, 1}});
  EXPECT_EQ(claim_with(claims, "linear map grows").ours, "slope 2.000 ± 0.102");
  EXPECT_EQ(claim_with(claims, "linear map grows").verdict, Verdict::holds);
  EXPECT_EQ(claim_with(claims, "does not depend on").ours, "slope 0.000 ± 0.000");
  EXPECT_EQ(claim_with(claims, "does not depend on").verdict, Verdict::holds);
}

TEST(SlopesOfMaps, HaveAnInterceptPerSeed) {
  const TemporaryFolder folder;
  // Slope 2 from two seeds. Logarithms of the norms: -1, 0, 1 and 0, 1, 2; intercepts 0 and -5; errors 0.03, -0.06, 0.03 and
  // -0.01, 0.02, -0.01. Squares: 0.006 over 6 - 2 - 1 degrees of freedom and 2 + 2: 1.96 sqrt(0.006 / 12) = 0.044.
  // One intercept for all would give the slope 0.64.
  const auto point = [](double log_norm, double log_curvature, int64_t seed) {
    return MapRow{"linear", 64, std::exp(log_norm), std::exp(log_curvature), seed};
  };
  std::vector<MapRow> rows = {point(-1, -1.97, 0), point(0, -0.06, 0), point(1, 2.03, 0),
                              point(0, -5.01, 1),  point(1, -2.98, 1), point(2, -1.01, 1)};
  for (int order = 0; order < 2; ++order) {
    EXPECT_EQ(claim_with(map_claims(folder, rows), "linear map grows").ours, "slope 2.000 ± 0.044");
    std::rotate(rows.begin(), rows.begin() + 2, rows.end());
  }
}

TEST(SlopesOfMaps, AreUnknownWithoutAPointMoreThanTheLineOfEachSeedTakes) {
  const TemporaryFolder folder;
  std::vector<MapRow> rows = {{"linear", 64, 2, 4, 0}, {"linear", 64, 4, 16, 0}, {"linear", 64, 3, 9, 1}};
  EXPECT_EQ(claim_with(map_claims(folder, rows), "linear map grows").verdict, Verdict::undecided);
  rows.push_back({"linear", 64, 6, 36, 1});
  EXPECT_EQ(claim_with(map_claims(folder, rows), "linear map grows").ours, "slope 2.000 ± 0.000");
}

TEST(SlopesOfMaps, AgainstWidthAreThoseOfTheRowsWithWeightNormOne) {
  const TemporaryFolder folder;
  const auto section = map_section(folder, {{"linear", 64, 0.1, 50},  // enters the slope against the weight norm only
                                            {"linear", 32, 1, 2},
                                            {"linear", 64, 1, 1},
                                            {"linear", 128, 1, 0.5},
                                            {"linear", 64, 10, 90}});
  const std::vector<std::string>& row = section.section.tables.front().rows.front();
  EXPECT_EQ(row.front(), "linear");
  EXPECT_EQ(row.back(), "-1.000 ± 0.000");
}

TEST(SlopesOfMaps, MustBeWithinFiveHundredthsOfTheTheory) {
  const TemporaryFolder folder;
  const auto verdicts = [&folder](double linear, double simple) {
    std::vector<MapRow> rows;
    for (const double norm : {0.1, 1.0, 10.0}) {
      rows.push_back({"linear", 64, norm, std::pow(norm, linear)});
      rows.push_back({"simplenorm", 64, norm, std::pow(norm, simple)});
    }
    const auto claims = map_claims(folder, rows);
    return std::pair(claim_with(claims, "linear map grows").verdict, claim_with(claims, "does not depend on").verdict);
  };
  EXPECT_EQ(verdicts(2.04, -0.04), std::pair(Verdict::holds, Verdict::holds));
  EXPECT_EQ(verdicts(1.96, 0.04), std::pair(Verdict::holds, Verdict::holds));
  EXPECT_EQ(verdicts(2.06, -0.06), std::pair(Verdict::does_not_hold, Verdict::does_not_hold));
  EXPECT_EQ(verdicts(1.94, 0.06), std::pair(Verdict::does_not_hold, Verdict::does_not_hold));
}

struct TimeRow {
  std::string model;
  int64_t round;
  double seconds;
};

Claim cost_claim(const TemporaryFolder& folder, const std::vector<TimeRow>& rows) {
  TableFile file;
  file.add("/step_times/model", column_of(rows, &TimeRow::model));
  file.add("/step_times/round", column_of(rows, &TimeRow::round));
  file.add("/step_times/step_seconds", column_of(rows, &TimeRow::seconds));
  file.write(folder / "step_times.h5");
  return analysis::cost_section(folder / "step_times.h5").claims.front();
}

TEST(CostOfNorms, IsTheMedianOfTheQuotientsOfEachRoundInAnyOrder) {
  const TemporaryFolder folder;
  // Quotients 1.02, 1.04 and 1.9; the fourth round lacks PreNorm.
  std::vector<TimeRow> rows = {{"m-prenorm", 0, 1},    {"m-simplegpt", 0, 1.02}, {"m-preqknorm", 0, 5},
                               {"m-simplegpt", 2, 19}, {"m-prenorm", 2, 10},     {"m-simplegpt", 3, 100},
                               {"m-prenorm", 1, 100},  {"m-simplegpt", 1, 104}};
  for (int order = 0; order < 2; ++order) {
    const Claim claim = cost_claim(folder, rows);
    EXPECT_EQ(claim.ours, "m: +4 % (+2 … +90)");
    EXPECT_EQ(claim.verdict, Verdict::holds);
    std::reverse(rows.begin(), rows.end());
  }
}

TEST(CostOfNorms, IsNotThatOfTheFastestRound) {
  const TemporaryFolder folder;
  const Claim claim = cost_claim(folder, {{"m-prenorm", 0, 1},
                                          {"m-simplegpt", 0, 1.02},
                                          {"m-prenorm", 1, 1},
                                          {"m-simplegpt", 1, 1.07},
                                          {"m-prenorm", 2, 1},
                                          {"m-simplegpt", 2, 1.08}});
  EXPECT_EQ(claim.ours, "m: +7 % (+2 … +8)");
  EXPECT_EQ(claim.verdict, Verdict::does_not_hold);
}

TEST(CostOfNorms, MayBeFivePercentOfEachSizeAtMost) {
  const TemporaryFolder folder;
  const auto verdict = [&folder](double small, double large) {
    return cost_claim(folder, {{"a-prenorm", 0, 2},
                               {"a-simplegpt", 0, 2 * small},  //
                               {"b-prenorm", 0, 4},
                               {"b-simplegpt", 0, 4 * large}})
        .verdict;
  };
  EXPECT_EQ(verdict(1.05, 0.9), Verdict::holds);
  EXPECT_EQ(verdict(1.06, 0.9), Verdict::does_not_hold);
  EXPECT_EQ(verdict(0.9, 1.06), Verdict::does_not_hold);
}

}  // namespace
}  // namespace hessian::tests
