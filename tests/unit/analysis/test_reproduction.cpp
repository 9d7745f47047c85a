#include "reproduction/reproduction.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <map>

#include "claims.h"
#include "run_file/probe_layout.h"
#include "run_file_support.h"
#include "table_file.h"

using hessian::analysis::Claim;
using hessian::analysis::ReproductionFiles;
using hessian::analysis::Verdict;
using hessian::experiments::RunFileWriter;
using hessian::tests::TemporaryFolder;
using testing::HasSubstr;

// Writes results whose verdicts are known as run files, and checks the claims that are read from them.

namespace hessian::tests {
namespace {

/// One run of a simulated sweep.
struct Run {
  std::string model;
  double lr;
  int64_t seed;
  double loss;  ///< NaN: it diverged
};

struct Limits {
  std::string model;
  double stable;
  double unstable;
  double best_loss;
  double best_lr;
  double activation_rate;
};

void write_sweep(const std::filesystem::path& path, const std::vector<Run>& runs, const std::vector<Limits>& limits) {
  TableFile file;
  const auto of_runs = [&runs](const auto& value) {
    std::vector<std::decay_t<decltype(value(runs[0]))>> column;
    for (const Run& run : runs) {
      column.push_back(value(run));
    }
    return column;
  };
  file.add("/sweep/model", of_runs([](const Run& r) { return r.model; }));
  file.add("/sweep/lr", of_runs([](const Run& r) { return r.lr; }));
  file.add("/sweep/seed", of_runs([](const Run& r) { return r.seed; }));
  file.add("/sweep/status",
           of_runs([](const Run& r) { return std::string(std::isnan(r.loss) ? "diverged" : "stable"); }));
  file.add("/sweep/final_loss", of_runs([](const Run& r) { return r.loss; }));
  file.add("/sweep/initial_loss", of_runs([](const Run&) { return 6.0; }));
  file.add("/sweep/diverged_at", of_runs([](const Run& r) { return std::isnan(r.loss) ? int64_t{5} : int64_t{-1}; }));
  file.add("/sweep/run_file", of_runs([](const Run& r) { return r.model + "-" + std::to_string(r.seed) + ".h5"; }));
  const auto of_limits = [&limits](const auto& value) {
    std::vector<std::decay_t<decltype(value(limits[0]))>> column;
    for (const Limits& model : limits) {
      column.push_back(value(model));
    }
    return column;
  };
  if (!limits.empty()) {
    file.add("/sweep/summary/model", of_limits([](const Limits& l) { return l.model; }));
    file.add("/sweep/summary/largest_stable_lr", of_limits([](const Limits& l) { return l.stable; }));
    file.add("/sweep/summary/smallest_unstable_lr", of_limits([](const Limits& l) { return l.unstable; }));
    file.add("/sweep/summary/best_loss", of_limits([](const Limits& l) { return l.best_loss; }));
    file.add("/sweep/summary/best_lr", of_limits([](const Limits& l) { return l.best_lr; }));
    file.add("/sweep/summary/activation_rate", of_limits([](const Limits& l) { return l.activation_rate; }));
  }
  file.write(path);
}

/// Writes a sweep in which SimpleNorm is stable up to `ratio` times PreNorm's rate of 1.
void write_sweep_of_ratio(const std::filesystem::path& path, double ratio) {
  std::vector<Run> runs;
  for (const int64_t seed : {0, 1}) {
    const auto shift = static_cast<double>(seed) / 100;
    for (const double rate : {0.5, 1.0, 3.0, 5.0, 20.0}) {
      runs.push_back({"x-prenorm", rate, seed, rate <= 1 ? 3.0 + rate / 10 + shift : NAN});
      runs.push_back({"x-preqknorm", rate, seed, rate <= 1 ? 2.5 + rate / 10 + shift : NAN});
      runs.push_back({"x-simplegpt", rate, seed, rate <= ratio ? 2.0 + rate / 100 + shift : NAN});
    }
  }
  write_sweep(path, runs,
              {{"x-prenorm", 1, 3, 3.055, 0.5, 1},
               {"x-preqknorm", 1, 3, 2.555, 0.5, 2},
               {"x-simplegpt", ratio, 20, 2.01, 0.5, 8}});
}

/// Writes a run of three layers whose residual norms are `norm` at the start and half of that at the end, and whose RMS
/// grows by `drift`.
void write_probes(const std::filesystem::path& path, double norm, double drift) {
  experiments::ProbeLayoutOptions layout;
  layout.sites = {{"residual", {0, 1, 2}}};
  layout.probes = 2;
  auto writer = RunFileWriter::create(path, info_of("hessian-train"), experiments::probe_datasets(layout), true);
  write_probe_layers(writer, layout);
  const std::vector<int64_t> steps = {0, 10};
  const std::vector<double> norms = {norm, norm, norm, norm / 2, norm / 2, norm / 2};
  const std::vector<double> rms = {1, 1, 1, 1, drift, drift};
  const std::vector<uint8_t> converged(6, 1);
  writer.write("/probe/step", {0}, {2}, std::span<const int64_t>(steps));
  writer.write("/probe/residual/spectral_norm", {0, 0, 0}, {2, 3, 1}, std::span<const double>(norms));
  writer.write("/probe/residual/converged", {0, 0, 0}, {2, 3, 1}, std::span<const uint8_t>(converged));
  writer.write("/probe/residual/rms", {0, 0}, {2, 3}, std::span<const double>(rms));
  writer.finish();
}

class Reproduction : public testing::Test {
 protected:
  void SetUp() override {
    if (std::system("command -v gnuplot >/dev/null") != 0) {
      GTEST_SKIP() << "gnuplot is not installed";
    }
    files.command = "hessian-reproduce --scale test --out out";
    files.scale = "test";
  }

  std::vector<Claim> claims() { return write_reproduction(files, folder / "out"); }

  /// Writes points of exact power laws of ||W|| for the linear map and SimpleNorm.
  void write_synthetic(double linear_slope, double simple_slope) {
    TableFile file;
    std::vector<std::string> map;
    std::vector<int64_t> width;
    std::vector<double> weight_norm;
    std::vector<double> spectral_norm;
    for (const auto& [name, slope] : std::map<std::string, double>{
             {"linear", linear_slope}, {"rmsnorm before", linear_slope}, {"simplenorm", simple_slope}}) {
      for (const double norm : {0.01, 1.0, 100.0}) {
        map.push_back(name);
        width.push_back(64);
        weight_norm.push_back(norm);
        spectral_norm.push_back(3 * std::pow(norm, slope));
      }
    }
    const std::vector<uint8_t> converged(map.size(), 1);
    file.add("/synthetic/map", map);
    file.add("/synthetic/width", width);
    file.add("/synthetic/weight_norm", weight_norm);
    file.add("/synthetic/seed", std::vector<int64_t>(map.size(), 0));
    file.add("/synthetic/spectral_norm", spectral_norm);
    file.add("/synthetic/converged", converged);
    files.synthetic = folder / "synthetic.h5";
    file.write(files.synthetic);
  }

  void write_curvature(const std::string& family, double simple, double qk, double pre, double simple_drift) {
    const std::filesystem::path sweep = folder / family / "sweep.h5";
    write_sweep(sweep, {{"x-simplegpt", 1, 0, 2}, {"x-preqknorm", 1, 0, 2}, {"x-prenorm", 1, 0, 2}}, {});
    write_probes(folder / family / "x-simplegpt-0.h5", simple, simple_drift);
    write_probes(folder / family / "x-preqknorm-0.h5", qk, 5);
    write_probes(folder / family / "x-prenorm-0.h5", pre, 10);
    files.curvature.push_back({family, "curvature", 1000, sweep});
  }

  TemporaryFolder folder;
  ReproductionFiles files;
};

TEST_F(Reproduction, FindsTheSlopesOfPowerLaws) {
  write_synthetic(2, 0);
  auto found = claims();
  EXPECT_EQ(claim_with(found, "linear map grows").verdict, Verdict::holds);
  EXPECT_THAT(claim_with(found, "linear map grows").ours, HasSubstr("slope 2.000 ± 0.000"));
  EXPECT_EQ(claim_with(found, "does not depend on").verdict, Verdict::holds);
  write_synthetic(1.5, 0.3);
  found = claims();
  EXPECT_EQ(claim_with(found, "linear map grows").verdict, Verdict::does_not_hold);
  EXPECT_THAT(claim_with(found, "linear map grows").ours, HasSubstr("slope 1.500"));
  EXPECT_EQ(claim_with(found, "does not depend on").verdict, Verdict::does_not_hold);
}

TEST_F(Reproduction, ComparesTheOrderOfNormsAndTheDriftOfScales) {
  write_curvature("llama2", 1, 2, 3, 1.5);
  auto found = claims();
  EXPECT_EQ(claim_with(found, "‖H_xx‖: SimpleNorm").verdict, Verdict::holds);
  EXPECT_THAT(claim_with(found, "‖H_xx‖: SimpleNorm").ours, HasSubstr("3 of 3 cases"));
  EXPECT_THAT(claim_with(found, "input of the first layer").ours, HasSubstr("1 of 1 cases"));
  EXPECT_EQ(claim_with(found, "scales stable").verdict, Verdict::holds);
  EXPECT_THAT(claim_with(found, "scales stable").ours, HasSubstr("factor of 1.5; PreNorm 10"));
  // The RMS at the start is 1 everywhere, unlike sqrt(1 + 2 l).
  EXPECT_EQ(claim_with(found, "√(1 + 2l)").verdict, Verdict::does_not_hold);
  write_curvature("llama3", 2.5, 2, 3, 4);
  found = claims();
  EXPECT_EQ(claim_with(found, "‖H_xx‖: SimpleNorm").verdict, Verdict::does_not_hold);
  EXPECT_THAT(claim_with(found, "‖H_xx‖: SimpleNorm").ours, HasSubstr("3 of 6 cases (50 %)"));
  EXPECT_EQ(claim_with(found, "scales stable").verdict, Verdict::does_not_hold);
}

TEST_F(Reproduction, ComparesRatesAndLossesOfSweeps) {
  write_sweep_of_ratio(folder / "small" / "sweep.h5", 3);
  write_sweep_of_ratio(folder / "large" / "sweep.h5", 5);
  files.stability = {{"llama2", "small", 1'000, folder / "small" / "sweep.h5"},
                     {"llama2", "large", 2'000, folder / "large" / "sweep.h5"}};
  auto found = claims();
  EXPECT_EQ(claim_with(found, "largest stable learning rate").verdict, Verdict::holds);
  EXPECT_EQ(claim_with(found, "largest stable learning rate").ours, "llama2: 3, 5");
  EXPECT_EQ(claim_with(found, "ratio of stable rates grows").verdict, Verdict::holds);
  EXPECT_EQ(claim_with(found, "loss of SimpleNorm vs").verdict, Verdict::holds);
  EXPECT_THAT(claim_with(found, "loss of SimpleNorm vs").ours, HasSubstr("llama2-small: 2.010 vs 2.555"));
  // At 3 PreNorm diverges and SimpleNorm does not.
  EXPECT_EQ(claim_with(found, "where PreNorm diverges").verdict, Verdict::holds);
  EXPECT_EQ(claim_with(found, "where PreNorm diverges").ours,
            "stable: llama2-small at lr 3: 2 of 2 seeds; llama2-large at lr 3: 2 of 2 seeds");
  EXPECT_EQ(claim_with(found, "gain in loss").verdict, Verdict::does_not_hold) << "it is the same for both sizes";
  // Of the rates 1, 2 and 8 that curvature allows, the largest stable ones are 1, 1 and 3 or 5. Ranks 1.5 3.5 5.5 and
  // 2.5 2.5 5 or 6: 12 / sqrt(16 12.5), with an error of (1 - 0.72) sqrt(1.36 / 3).
  EXPECT_EQ(claim_with(found, "2 / λmax").ours, "rank correlation 0.85 ± 0.19 over 6 models");
  EXPECT_EQ(claim_with(found, "2 / λmax").verdict, Verdict::undecided);

  write_sweep_of_ratio(folder / "large" / "sweep.h5", 1);
  found = claims();
  EXPECT_EQ(claim_with(found, "largest stable learning rate").verdict, Verdict::does_not_hold);
  EXPECT_EQ(claim_with(found, "ratio of stable rates grows").verdict, Verdict::does_not_hold);
  EXPECT_EQ(claim_with(found, "where PreNorm diverges").verdict, Verdict::does_not_hold);
}

TEST_F(Reproduction, ComparesStepTimesRoundByRound) {
  TableFile file;
  file.add("/step_times/model", std::vector<std::string>{"m-prenorm", "m-preqknorm", "m-simplegpt", "m-prenorm",
                                                         "m-preqknorm", "m-simplegpt"});
  file.add("/step_times/round", std::vector<int64_t>{0, 0, 0, 1, 1, 1});
  file.add("/step_times/step_seconds", std::vector<double>{1, 1.01, 1.02, 10, 10.1, 10.6});
  files.step_times = folder / "step_times.h5";
  file.write(files.step_times);
  const Claim claim = claim_with(claims(), "additional norms");
  EXPECT_EQ(claim.ours, "m: +4 % (+2 … +6)");
  EXPECT_EQ(claim.verdict, Verdict::holds);
}

TEST_F(Reproduction, IsUndecidedWithoutResults) {
  files.synthetic = folder / "missing.h5";
  files.stability = {{"llama2", "small", 1'000, folder / "missing" / "sweep.h5"}};
  for (const Claim& claim : claims()) {
    EXPECT_EQ(claim.verdict, Verdict::undecided) << claim.text;
    EXPECT_EQ(claim.ours, "–") << claim.text;
  }
  EXPECT_TRUE(std::filesystem::exists(folder / "out" / "report.html"));
  EXPECT_TRUE(std::filesystem::exists(folder / "out" / "claims.csv"));
}

}  // namespace
}  // namespace hessian::tests
