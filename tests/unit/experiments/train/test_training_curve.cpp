// Tests the curve of a training run as read from its run file, also while the file is being written.

#include <gtest/gtest.h>

#include <cmath>
#include <span>
#include <string>

#include "hessian/run_file.h"
#include "loader_support.h"
#include "run_file/train_layout.h"
#include "train/curve.h"

namespace hessian::tests {
namespace {

using experiments::DivergenceMonitor;
using experiments::RunFileReader;
using experiments::RunFileWriter;
using experiments::TrainingCurve;
using support::TemporaryFolder;

template <class T>
void append(RunFileWriter& writer, const std::string& dataset, std::initializer_list<T> values) {
  writer.append(dataset, std::span<const T>(values.begin(), values.size()));
}

/// Returns a file with two complete updates and a third one that lacks only its step.
RunFileWriter three_updates(const std::string& path) {
  RunFileWriter writer = RunFileWriter::create(path, {}, experiments::train_datasets({}), false);
  append(writer, "/train/step", {int64_t{1}, int64_t{2}});
  append(writer, "/train/loss", {6.0, 5.0, 4.0});
  append(writer, "/train/grad_norm", {1.0, 1.0, 1.0});
  append(writer, "/train/step_seconds", {0.1, 0.1, 0.1});
  append(writer, "/train/tokens", {int64_t{16}, int64_t{32}, int64_t{48}});
  return writer;
}

TEST(TrainingCurve, HasTheStepsThatAreRecordedCompletely) {
  const TemporaryFolder folder;
  const std::string path = folder / "run.h5";
  RunFileWriter writer = three_updates(path);
  writer.flush();
  const TrainingCurve curve = experiments::read_training_curve(RunFileReader(path));
  EXPECT_EQ(curve.steps, (std::vector<int64_t>{1, 2}));
  EXPECT_EQ(curve.losses, (std::vector<double>{6.0, 5.0}));
  EXPECT_EQ(curve.grad_norms.size(), 2U);
  EXPECT_EQ(curve.seconds.size(), 2U);
  EXPECT_EQ(curve.tokens, (std::vector<int64_t>{16, 32}));
}

TEST(TrainingCurve, GivesAMonitorTheVerdictOfTheRecordedSteps) {
  const TrainingCurve curve{{1, 2, 3}, {6.0, 5.0, 4.0}, {1.0, INFINITY, 1.0}, {}, {}};
  DivergenceMonitor before(experiments::DivergenceOptions{});
  experiments::replay(curve, 1, before);
  EXPECT_FALSE(before.verdict());
  DivergenceMonitor after(experiments::DivergenceOptions{});
  experiments::replay(curve, 3, after);
  ASSERT_TRUE(after.verdict());
  EXPECT_EQ(after.verdict()->step, 2);
}

TEST(TrainingCurve, HasTheLastValidationUpToAStep) {
  const TemporaryFolder folder;
  const std::string path = folder / "run.h5";
  RunFileWriter writer = three_updates(path);
  writer.flush();
  EXPECT_EQ(experiments::last_validation(RunFileReader(path)).step, -1);
  append(writer, "/train/val_loss", {3.0, 2.0});
  append(writer, "/train/val_step", {int64_t{1}, int64_t{3}});
  writer.flush();
  EXPECT_EQ(experiments::last_validation(RunFileReader(path)).loss, 2.0);
  EXPECT_EQ(experiments::last_validation(RunFileReader(path), 2).loss, 3.0);
  EXPECT_EQ(experiments::last_validation(RunFileReader(path), 0).step, -1);
}

}  // namespace
}  // namespace hessian::tests
