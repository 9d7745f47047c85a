#include "run_file/train_layout.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "hessian/run_file.h"
#include "run_file_support.h"

using hessian::experiments::DatasetSpec;
using hessian::experiments::RunFileReader;
using hessian::experiments::RunFileWriter;

namespace hessian::tests {
namespace {

TEST(TrainLayout, KeepsRowsUntilAStepByTheStepsOfEachDataset) {
  const TemporaryFolder folder;
  experiments::TrainLayoutOptions layout;
  layout.update_groups = {"norm.weight"};
  layout.sharpness = true;
  layout.probe.sites = {{"residual", {0}}};
  layout.probe.probes = 0;
  const std::vector<DatasetSpec> datasets = experiments::train_datasets(layout);
  auto writer = RunFileWriter::create(folder / "run.h5", example_info(), datasets);
  const auto append = [&writer](const std::string& path, const std::vector<int64_t>& steps) {
    writer.append(path, std::span<const int64_t>(steps));
  };
  append("/train/step", {1, 2, 3, 4, 5, 6});
  append("/train/val_step", {2, 4, 6});
  append("/train/update_step", {3, 6});
  append("/probe/step", {0, 1, 2, 3, 4, 5, 6});
  writer.flush();
  const auto rows = experiments::rows_until(datasets, RunFileReader(folder / "run.h5"), 4);
  const std::map<std::string, int64_t> expected = {{"/train/step", 4},
                                                   {"/train/loss", 4},
                                                   {"/train/val_step", 2},
                                                   {"/train/val_loss", 2},
                                                   {"/train/update_step", 1},
                                                   {"/train/update_rms", 1},
                                                   {"/train/parameter_rms", 1},
                                                   {"/probe/step", 5},
                                                   {"/probe/loss", 5},
                                                   {"/probe/residual/rms", 5},
                                                   {"/probe/sharpness/lambda_max", 5}};
  for (const auto& [path, count] : expected) {
    ASSERT_TRUE(rows.contains(path)) << path;
    EXPECT_EQ(rows.at(path), count) << path;
  }
  EXPECT_FALSE(rows.contains("/train/update_group")) << "it does not grow";
}

}  // namespace
}  // namespace hessian::tests
