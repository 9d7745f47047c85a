#include "output/findings.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "output/run_tables.h"
#include "run_contents.h"

namespace hessian::tests {
namespace {

using analysis::findings_of;
using analysis::RunContent;
using analysis::SiteProbes;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

/// One row of a sweep's summary. Its runs have one seed, are stable up to `stable` and diverge from `unstable` on.
struct Bracket {
  std::string model;
  double stable;
  double unstable;
};

RunContent sweep_of(const std::vector<Bracket>& brackets, const std::vector<int64_t>& seeds = {0}) {
  RunContent run = empty_run("sweep.h5", "");
  run.info.program = "hessian-sweep";
  analysis::SweepRuns sweep;
  for (const Bracket& bracket : brackets) {
    sweep.models.push_back(bracket.model);
    sweep.summary["largest_stable_lr"].push_back(bracket.stable);
    sweep.summary["smallest_unstable_lr"].push_back(bracket.unstable);
    for (const double rate : {0.25, 1.0, 4.0, 16.0}) {
      for (const int64_t seed : seeds) {
        sweep.model.push_back(bracket.model);
        sweep.lr.push_back(rate);
        sweep.seed.push_back(seed);
        sweep.status.emplace_back(rate <= bracket.stable ? "stable" : "diverged");
      }
    }
  }
  run.sweep = sweep;
  return run;
}

/// Returns a run of two layers and one sequence, probed at steps 0 and 150.
RunContent probed(const std::string& path, const std::vector<double>& norms, const std::vector<double>& rms) {
  RunContent run = empty_run(path, "");
  SiteProbes site;
  site.site = "residual";
  site.layers = {0, 1};
  site.steps = {0, 150};
  site.sequences = 1;
  site.spectral_norm = norms;
  site.converged.assign(4, 1);
  site.rms = rms;
  run.sites = {site};
  return run;
}

TEST(Findings, CompareLargestStableRates) {
  const RunContent sweep = sweep_of({{"m-prenorm", 0.25, 1}, {"m-preqknorm", 1, 4}, {"m-simplegpt", 4, 16}});
  EXPECT_THAT(findings_of({sweep}, {"sweep.h5"}),
              ElementsAre("The largest stable learning rate, with one seed per rate, is 0.25 for m-prenorm, 1 for "
                          "m-preqknorm and 4 for m-simplegpt. The ratio to that of m-prenorm is 4 for m-preqknorm (the "
                          "grid leaves 1 to 16) and 16 for m-simplegpt (the grid leaves 4 to 64)."));
  EXPECT_THAT(findings_of({sweep_of({{"m-prenorm", 1, 4}}, {0, 1, 2})}, {"sweep.h5"}),
              ElementsAre("The largest stable learning rate, with 3 seeds per rate, is 1 for m-prenorm."));
}

TEST(Findings, SayIfTheGridDoesNotReachTheEdgeOfStability) {
  const auto found =
      findings_of({sweep_of({{"m-prenorm", 1, 4}, {"m-preqknorm", NAN, 0.25}, {"m-simplegpt", 16, NAN}})}, {"s"});
  EXPECT_THAT(
      found, ElementsAre("The largest stable learning rate, with one seed per rate, is 1 for m-prenorm, below 0.25 for "
                         "m-preqknorm (the smallest rate diverged) and at least 16 for m-simplegpt (no run at a larger "
                         "rate diverged). The ratio to that of m-prenorm is at least 4 for m-simplegpt."));
  EXPECT_THAT(findings_of({sweep_of({{"m-prenorm", 16, NAN}, {"m-simplegpt", 16, NAN}})}, {"s"}).at(0),
              Not(HasSubstr("ratio")))
      << "neither is known";
  EXPECT_THAT(findings_of({sweep_of({{"m-prenorm", 16, NAN}, {"m-simplegpt", 1, 4}})}, {"s"}).at(0),
              HasSubstr("is at most 0.25 for m-simplegpt."));
}

TEST(Findings, CompareModelsOfOneSizeOnly) {
  const auto found = findings_of({sweep_of({{"a-prenorm", 1, 4}, {"b-simplegpt", 4, 16}})}, {"s"});
  EXPECT_THAT(found, ElementsAre(AllOf(HasSubstr("4 for b-simplegpt."), Not(HasSubstr("ratio")))));
}

TEST(Findings, NameSweepsAndRunsThatAreNotFinished) {
  RunContent open = sweep_of({{"m-prenorm", 1, 4}});
  open.sweep->status[3] = "pending";
  open.sweep->status[2] = "failed";
  const auto found = findings_of({open, sweep_of({{"m-prenorm", 4, 16}})}, {"one", "two"});
  ASSERT_EQ(found.size(), 2);
  EXPECT_THAT(found[0], AllOf(HasSubstr("one: The largest"), HasSubstr("1 of 4 runs are not finished"),
                              HasSubstr("1 of 4 runs failed")));
  EXPECT_THAT(found[1], AllOf(HasSubstr("two: The largest"), Not(HasSubstr("not finished"))));
}

TEST(Findings, SayWhereNormsAreLargestAndHowTheyOrderTheRuns) {
  const std::vector<RunContent> runs = {probed("a", {3, 1, 0.5, 0.25}, {1, 1, 1, 2}),
                                        probed("b", {2, 1, 0.123456, 0.1}, {1, 1, 1, 1.1}),
                                        probed("c", {1, 0.5, 0.1, 2}, {1, 1, 5, 1})};
  EXPECT_THAT(
      findings_of(runs, {"A", "B", "C"}),
      ElementsAre(
          "Before training (step 0), ‖Hₓₓ‖₂ of the residual stream is largest at layer 0 in every run; in "
          "ascending order of this maximum, the runs are C (1 nats), B (2 nats) and A (3 nats). At the last probe "
          "(step 150), ‖Hₓₓ‖₂ of the residual stream is largest at layer 0 in A and B and at layer 1 in C; in "
          "ascending order of this maximum, the runs are B (0.123 nats), A (0.5 nats) and C (2 nats). Norms are "
          "those of one sequence.",
          "From step 0 to step 150, the RMS of a layer of the residual stream changed at most by a factor of 1.1 "
          "in B (layer 1, from 1 to 1.1), 2 in A (layer 1, from 1 to 2) and 5 in C (layer 0, from 1 to 5).",
          "All 3 probed runs have seed 0: how much norms and scales vary between seeds is not known."));
}

TEST(Findings, CallEqualNormsATie) {
  std::vector<RunContent> runs = {probed("a", {1, 3, 1, 2}, {}), probed("b", {1, 3, 1, 2.0001}, {}),
                                  probed("c", {1, 3, 1, 1}, {})};
  const auto found = findings_of(runs, {"A", "B", "C"});
  EXPECT_THAT(found.at(0), HasSubstr("largest at layer 1 in every run; this maximum is 3 nats in every run."));
  EXPECT_THAT(found.at(0), HasSubstr("the runs are C (1 nats) and A and B (2 nats each)."));
  EXPECT_THAT(found.at(1), HasSubstr("seed 0")) << "without RMS nothing is said about scales";
  runs[1].info.seed = 1;
  EXPECT_EQ(findings_of(runs, {"A", "B", "C"}).size(), 1) << "there are two seeds";
}

TEST(Findings, TakeMediansOverSequencesAndCountUnconvergedEstimates) {
  RunContent run = empty_run("run.h5", "");
  run.sites = {counting_site("residual", {7})};  // layer 0 has norms 1 and 2, layer 1 has 3 and 4
  EXPECT_THAT(findings_of({run}, {"run.h5"}),
              ElementsAre("At the last probe (step 7), ‖Hₓₓ‖₂ of the residual stream is largest at layer 1 (3.5 nats). "
                          "Norms are medians over 2 sequences."));
  run.sites[0].converged[1] = 0;
  EXPECT_THAT(findings_of({run}, {"run.h5"}).at(0),
              HasSubstr("1 of these 4 estimates did not reach their tolerance and may be too small."));
}

TEST(Findings, LeaveOutNumbersThatAreMissing) {
  EXPECT_THAT(findings_of({}, {}), IsEmpty());
  EXPECT_THAT(findings_of({empty_run("run.h5", "")}, {"run.h5"}), IsEmpty());
  EXPECT_THAT(findings_of({sweep_of({{"m-prenorm", NAN, NAN}})}, {"s"}), ElementsAre(HasSubstr("below 0.25")));
  RunContent unstarted = sweep_of({{"m-prenorm", NAN, NAN}});
  std::fill(unstarted.sweep->status.begin(), unstarted.sweep->status.end(), "pending");
  EXPECT_THAT(findings_of({unstarted}, {"s"}), IsEmpty());

  RunContent run = probed("a", {NAN, NAN, NAN, NAN}, {1, 1, NAN, NAN});
  EXPECT_THAT(findings_of({run}, {"A"}), IsEmpty());
  run = probed("a", {NAN, 2, 1, NAN}, {1, 0, NAN, 2});
  EXPECT_THAT(findings_of({run}, {"A"}),
              ElementsAre(AllOf(HasSubstr("largest at layer 1 (2 nats)"), HasSubstr("largest at layer 0 (1 nats)"))));
  // A run whose last probe has no numbers is left out of the comparison.
  const auto found = findings_of({probed("a", {1, 2, NAN, NAN}, {}), probed("b", {1, 3, 1, 2}, {})}, {"A", "B"});
  EXPECT_THAT(found.at(0), AllOf(HasSubstr("A (2 nats) and B (3 nats)"), HasSubstr("largest at layer 1 (2 nats).")));
}

TEST(Findings, FallBackToAnotherSiteThanTheResidualStream) {
  RunContent run = empty_run("run.h5", "");
  run.sites = {counting_site("ffn_in", {0, 9})};
  EXPECT_THAT(findings_of({run}, {"run.h5"}).at(0), HasSubstr("‖Hₓₓ‖₂ of site ffn_in is largest at layer 1"));
  EXPECT_THAT(findings_of({run}, {"run.h5"}).at(1),
              HasSubstr("changed at most by a factor of 3 (layer 0, from 10 to 30)"));
}

TEST(Findings, ShortenLongListsToTheirEnds) {
  std::vector<RunContent> runs;
  std::vector<std::string> labels;
  for (int i = 1; i <= 20; ++i) {
    const double norm = i;
    runs.push_back(probed("run.h5", {norm, 0, norm, 0}, {1, 1, norm, 1}));
    labels.push_back("run " + std::to_string(i));
  }
  const auto found = findings_of(runs, labels);
  EXPECT_THAT(found.at(0), HasSubstr("this maximum ranges from run 1 (1 nats) to run 20 (20 nats)."));
  EXPECT_THAT(found.at(1), HasSubstr("by a factor of 1 in run 1 (layer 0, from 1 to 1) to 20 in run 20"));
}

TEST(Findings, AreTheFirstSectionOfTheReport) {
  const RunContent sweep = sweep_of({{"m-prenorm", 1, 4}});
  const analysis::Report report = analysis::report_on({sweep}, {}, "hessian-plot sweep.h5");
  ASSERT_FALSE(report.sections.empty());
  EXPECT_EQ(report.sections[0].title, "Findings");
  EXPECT_EQ(report.sections[0].paragraphs, findings_of({sweep}, {"sweep.h5"}));
  EXPECT_EQ(analysis::report_on({empty_run("run.h5", "")}, {}, "hessian-plot run.h5").sections[0].title, "Figures");
}

}  // namespace
}  // namespace hessian::tests
