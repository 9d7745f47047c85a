#include "content/run_labels.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "run_contents.h"

using hessian::analysis::run_labels;
using hessian::tests::empty_run;
using testing::ElementsAre;

TEST(RunLabels, NameOneRunByItsFile) {
  EXPECT_THAT(run_labels({empty_run("out/run.h5", "seed = 1\n")}), ElementsAre("run.h5"));
}

TEST(RunLabels, NameDifferencesTheMostTellingFirst) {
  EXPECT_THAT(
      run_labels(
          {empty_run("a/run.h5", "steps = 5\nseed = 0\n[optimizer]\nlr = 0.5\n[model]\nname = \"new:tiny\"\n"),
           empty_run("b/run.h5", "steps = 9\nseed = 0\n[optimizer]\nlr = 0.25\n[model]\nname = \"new:tiny\"\n")}),
      ElementsAre("lr 0.5, steps 5", "lr 0.25, steps 9"));
}

TEST(RunLabels, NameAFreshModelByItsLabel) {
  const auto narrowed = [](const std::string& placement) {
    auto run = empty_run(placement + ".h5", "[model]\nname = \"new:llama2-20M-" + placement + "\"\ndim = 128\n");
    run.info.model = R"({"family": "llama2", "label": "llama2-0.9M-)" + placement + R"("})";
    return run;
  };
  EXPECT_THAT(run_labels({narrowed("prenorm"), narrowed("simplegpt")}),
              ElementsAre("llama2-0.9M-prenorm", "llama2-0.9M-simplegpt"));
  auto old = narrowed("prenorm");
  old.info.model = "{}";  // files of older programs have no label
  EXPECT_THAT(run_labels({old, narrowed("simplegpt")}), ElementsAre("llama2-20M-prenorm", "llama2-0.9M-simplegpt"));
}

TEST(RunLabels, IgnoreTheOutputFolder) {
  EXPECT_THAT(
      run_labels({empty_run("a/run.h5", "out = \"a\"\nseed = 1\n"), empty_run("b/run.h5", "out = \"b\"\nseed = 2\n")}),
      ElementsAre("seed 1", "seed 2"));
}

TEST(RunLabels, FallBackToDistinctEndsOfPaths) {
  const std::string same = "seed = 1\n";
  EXPECT_THAT(run_labels({empty_run("x/a/run.h5", same), empty_run("x/b/run.h5", same)}),
              ElementsAre("a/run.h5", "b/run.h5"));
  EXPECT_THAT(run_labels({empty_run("a/run.h5", "no TOML ["), empty_run("b/run.h5", "no TOML [")}),
              ElementsAre("a/run.h5", "b/run.h5"));
}

TEST(RunLabels, DistinguishRunsOfOneLabelByTheirFiles) {
  EXPECT_THAT(
      run_labels({empty_run("a.h5", "seed = 1\n"), empty_run("b.h5", "seed = 1\n"), empty_run("c.h5", "seed = 2\n")}),
      ElementsAre("seed 1 (a.h5)", "seed 1 (b.h5)", "seed 2"));
}

TEST(RunLabels, NameSweepsBySettingsThatTheirRunsShare) {
  const std::string sweep = "[sweep]\nmodels = [\"a\"]\n[optimizer]\nlr = ";
  EXPECT_THAT(run_labels({empty_run("a.h5", "steps = 1\n" + sweep + "1.0\n"),
                          empty_run("b.h5", "steps = 2\n" + sweep + "2.0\n")}),
              ElementsAre("steps 1", "steps 2"));
}

TEST(RunLabels, ShortenNumbers) {
  EXPECT_THAT(run_labels({empty_run("a.h5", "[optimizer]\nlr = 2.8284271247461903\n"),
                          empty_run("b.h5", "[optimizer]\nlr = 1.0\n")}),
              ElementsAre("lr 2.828", "lr 1"));
}

TEST(RunLabels, SortRunsByTheirNumbers) {
  std::vector<hessian::analysis::RunContent> runs;
  for (const char* lr : {"10.0", "9.0", "0.5"}) {
    for (const char* model : {"b", "a"}) {
      runs.push_back(
          empty_run("run.h5", std::string("[model]\nname = \"") + model + "\"\n[optimizer]\nlr = " + lr + "\n"));
    }
  }
  hessian::analysis::sort_by_difference(runs);
  EXPECT_THAT(run_labels(runs), ElementsAre("a, lr 0.5", "a, lr 9", "a, lr 10", "b, lr 0.5", "b, lr 9", "b, lr 10"));
}

TEST(RunLabels, CompareOnlyRunsOfOneProgram) {
  auto sweep = empty_run("sweep.h5", "seed = 5\n");
  sweep.info.program = "hessian-sweep";
  EXPECT_THAT(run_labels({empty_run("a.h5", "seed = 1\n"), sweep, empty_run("b.h5", "seed = 2\n")}),
              ElementsAre("seed 1", "sweep.h5", "seed 2"));
}
