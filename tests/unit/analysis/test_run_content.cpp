#include "content/run_content.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <fstream>

#include "refusal.h"
#include "run_contents.h"
#include "run_file/probe_layout.h"
#include "run_file/train_layout.h"
#include "run_file_support.h"

using hessian::analysis::read_run;
using hessian::analysis::RunContent;
using hessian::experiments::DatasetSpec;
using hessian::experiments::ElementType;
using hessian::experiments::RunFileWriter;
using hessian::tests::TemporaryFolder;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

namespace hessian::tests {
namespace {

experiments::RunInfo info() {
  experiments::RunInfo info;
  info.program = "hessian-train";
  info.config = "seed = 1\n";
  info.model = "{}";
  return info;
}

template <class T>
void append(RunFileWriter& writer, const std::string& path, const std::vector<T>& values) {
  writer.append(path, std::span<const T>(values));
}

/// Writes a run of two layers and one sequence: the norms of `norms` probes, but the steps of only the first `steps`.
std::filesystem::path write_probes(const std::filesystem::path& path, int norms, int steps) {
  experiments::ProbeLayoutOptions layout;
  layout.sites = {{"residual", {0, 1}}};
  layout.probes = 0;
  auto writer = RunFileWriter::create(path, info(), experiments::probe_datasets(layout));
  write_probe_layers(writer, layout);
  for (int i = 0; i < norms; ++i) {
    append<double>(writer, "/probe/residual/spectral_norm", {1.0 + i, 2.0 + i});
    append<double>(writer, "/probe/residual/norm_upper", {1.5 + i, 2.5 + i});
    append<double>(writer, "/probe/residual/rms", {0.5, 0.25});
    append<uint8_t>(writer, "/probe/residual/converged", {1, 0});
  }
  for (int i = 0; i < steps; ++i) {
    append<int64_t>(writer, "/probe/step", {10 * i});
  }
  writer.flush();
  return path;
}

TEST(RunContent, OfAnUnfinishedRunHasCompleteRowsOnly) {
  const TemporaryFolder folder;
  const RunContent run = read_run(write_probes(folder / "run.h5", 3, 2));
  EXPECT_FALSE(run.finished);
  ASSERT_THAT(run.sites, SizeIs(1));
  EXPECT_THAT(run.sites[0].steps, ElementsAre(0, 10));
  EXPECT_THAT(run.sites[0].spectral_norm, ElementsAre(1, 2, 2, 3));
  EXPECT_THAT(run.sites[0].over_sequences(run.sites[0].spectral_norm, 1, 0), ElementsAre(2));
  EXPECT_THAT(run.sites[0].norm_upper, ElementsAre(1.5, 2.5, 2.5, 3.5));
  EXPECT_EQ(run.sites[0].unconverged(0), 1);
  EXPECT_THAT(run.sites[0].lambda_max, IsEmpty()) << "none were written";
  EXPECT_THAT(run.problems, IsEmpty());
}

TEST(RunContent, DoesNotCountUnwrittenEstimatesAsUnconverged) {
  const TemporaryFolder folder;
  experiments::ProbeLayoutOptions layout;
  layout.sites = {{"residual", {0, 1}}};
  auto writer = RunFileWriter::create(folder / "run.h5", info(), experiments::probe_datasets(layout));
  write_probe_layers(writer, layout);
  const std::vector<int64_t> step = {0};
  writer.write("/probe/step", {0}, {1}, std::span<const int64_t>(step));
  const std::vector<double> norm = {3};
  writer.write("/probe/residual/spectral_norm", {0, 0, 0}, {1, 1, 1}, std::span<const double>(norm));
  writer.flush();
  const RunContent run = read_run(folder / "run.h5");
  ASSERT_THAT(run.sites, SizeIs(1));
  EXPECT_EQ(run.sites[0].unconverged(0), 1) << "layer 0 is written and not marked as converged; layer 1 is not written";
}

TEST(RunContent, CountsConvergedEstimatesOfEachLayer) {
  analysis::SiteProbes site = counting_site("residual", {0, 50});
  EXPECT_EQ(site.converged_count(1, 1), 2);
  EXPECT_EQ(site.unconverged(1, 1), 0);
  site.converged[7] = 0;  // probe 1, layer 1, sequence 1
  EXPECT_EQ(site.converged_count(1, 1), 1);
  EXPECT_EQ(site.unconverged(1, 1), 1);
  EXPECT_EQ(site.unconverged(1, 0), 0);
  EXPECT_EQ(site.unconverged(1), 1);
  EXPECT_EQ(site.unconverged(0), 0);
  site.spectral_norm[7] = NAN;  // not written
  EXPECT_EQ(site.unconverged(1), 0);
  site.converged.clear();  // as in files of older programs
  EXPECT_EQ(site.converged_count(0, 0), 0);
  EXPECT_EQ(site.unconverged(0), 0);
}

TEST(RunContent, HasTheFactorsOfThePreconditionedSharpness) {
  const TemporaryFolder folder;
  const auto read = [&folder](const std::vector<double>& clip_factors, const std::vector<int64_t>& left_out) {
    experiments::TrainLayoutOptions layout;
    layout.probe.sites = {{"residual", {0, 1}}};
    layout.probe.probes = 0;
    layout.sharpness = true;
    auto writer = RunFileWriter::create(folder / "run.h5", info(), experiments::train_datasets(layout), true);
    append<int64_t>(writer, "/probe/step", {0, 10});
    for (const std::string group : {"/probe/sharpness", "/probe/preconditioned_sharpness"}) {
      append<double>(writer, group + "/lambda_max", {3, 4});
      append<uint8_t>(writer, group + "/converged", {1, 0});
    }
    append<double>(writer, "/probe/preconditioned_sharpness/clip_factor", clip_factors);
    append<int64_t>(writer, "/probe/preconditioned_sharpness/left_out", left_out);
    writer.finish();
    return read_run(folder / "run.h5");
  };
  const RunContent run = read({0.5, 0.25}, {7, 8});
  EXPECT_THAT(run.preconditioned_sharpness->clip_factor, ElementsAre(0.5, 0.25));
  EXPECT_THAT(run.preconditioned_sharpness->left_out, ElementsAre(7, 8));
  EXPECT_THAT(run.sharpness->clip_factor, IsEmpty());
  // A file that lacks some of them has none.
  EXPECT_THAT(read({0.5, 0.25}, {7}).preconditioned_sharpness->clip_factor, IsEmpty());
  EXPECT_THAT(read({0.5, 0.25}, {7}).preconditioned_sharpness->lambda_max, ElementsAre(3, 4));
}

TEST(RunContent, FindsNumbersOfASweepsSummary) {
  analysis::SweepRuns sweep;
  sweep.models = {"a", "b"};
  sweep.summary = {{"best_lr", {1, 2}}};
  EXPECT_EQ(sweep.summary_number("b", "best_lr"), 2);
  EXPECT_TRUE(std::isnan(sweep.summary_number("c", "best_lr")));
  EXPECT_TRUE(std::isnan(sweep.summary_number("a", "best_loss")));
}

TEST(RunContent, LeavesOutASiteOfInconsistentShapesAndNamesIt) {
  const TemporaryFolder folder;
  const std::vector<DatasetSpec> datasets = {
      {"/probe/step", ElementType::int64, {1}, "steps", "step"},
      {"/probe/layer/residual", ElementType::int64, {3}, "1", "layers"},
      {"/probe/residual/spectral_norm", ElementType::float64, {1, 2, 1}, "nats", "norm"},
      {"/train/step", ElementType::float64, {2}, "steps", "of another type"},
      {"/train/loss", ElementType::float64, {2}, "nats", "loss"}};
  RunFileWriter::create(folder / "run.h5", info(), datasets).finish();
  const RunContent run = read_run(folder / "run.h5");
  EXPECT_THAT(run.sites, IsEmpty());
  ASSERT_TRUE(run.training);
  EXPECT_THAT(run.training->steps, IsEmpty());
  EXPECT_THAT(run.problems,
              ElementsAre(HasSubstr("/probe/residual/spectral_norm do not fit together"), HasSubstr("/train/step")));
}

TEST(RunContent, HasDensitiesByName) {
  const TemporaryFolder folder;
  auto writer =
      RunFileWriter::create(folder / "run.h5", info(),
                            {{"/density/hessian/grid", ElementType::float64, {3}, "nats", "grid"},
                             {"/density/hessian/density", ElementType::float64, {3}, "1", "density"},
                             {"/density/hessian/ritz_values", ElementType::float64, {2}, "nats", "Ritz values"}});
  const std::vector<double> grid = {-1, 0, 1};
  writer.write("/density/hessian/grid", {0}, {3}, std::span<const double>(grid));
  writer.write("/density/hessian/ritz_values", {0}, {2}, std::span<const double>(grid).first(2));
  writer.finish();
  const RunContent run = read_run(folder / "run.h5");
  ASSERT_THAT(run.densities, SizeIs(1));
  EXPECT_EQ(run.densities[0].name, "hessian");
  EXPECT_THAT(run.densities[0].grid, ElementsAre(-1, 0, 1));
  EXPECT_THAT(run.densities[0].ritz_values, ElementsAre(-1, 0));
}

TEST(RunContent, HasSpectraDensitiesAndAnatomyAsTheyAreWritten) {
  const TemporaryFolder folder;
  auto writer = RunFileWriter::create(
      folder / "run.h5", info(),
      {{"/density/residual-0/grid", ElementType::float64, {2}, "nats", "grid"},
       {"/density/residual-0/density", ElementType::float64, {2}, "1/(nats)", "density"},
       {"/density/residual-0/density_error", ElementType::float64, {2}, "1/(nats)", "error"},
       {"/density/residual-0/ritz_values", ElementType::float64, {1, 3}, "nats", "Ritz values"},
       {"/density/residual-0/ritz_weights", ElementType::float64, {1, 3}, "1", "weights"},
       {"/spectrum/residual-0/entries", ElementType::int64, {1}, "1", "entries"},
       {"/spectrum/residual-0/lambda_upper", ElementType::float64, {1, 2}, "nats", "eigenvalues"},
       {"/spectrum/residual-0/lambda_lower", ElementType::float64, {1, 3}, "nats", "one too many"},
       {"/spectrum/residual-0/trace", ElementType::float64, {1}, "nats", "trace"},
       {"/anatomy/map", ElementType::text, {2}, "1", "maps", 12},
       {"/anatomy/layer", ElementType::int64, {3}, "1", "one too many"}});
  const auto write = [&writer](const std::string& path, const experiments::Shape& shape,
                               const std::vector<double>& values) {
    writer.write(path, experiments::Shape(shape.size(), 0), shape, std::span<const double>(values));
  };
  write("/density/residual-0/ritz_values", {1, 3}, {-1, 2, NAN});
  write("/density/residual-0/ritz_weights", {1, 3}, {0.25, 0.75, 0});
  write("/density/residual-0/density_error", {2}, {5, 6});
  write("/spectrum/residual-0/lambda_upper", {1, 2}, {4, 3});
  writer.finish();
  const RunContent run = read_run(folder / "run.h5");
  ASSERT_THAT(run.densities, SizeIs(1));
  EXPECT_EQ(run.densities[0].units, "nats");
  EXPECT_EQ(run.densities[0].samples, 1);
  EXPECT_EQ(run.densities[0].steps, 3);
  EXPECT_THAT(run.densities[0].ritz_values, ElementsAre(-1, 2)) << "where a space was exhausted there is no value";
  EXPECT_THAT(run.densities[0].ritz_weights, ElementsAre(0.25, 0.75));
  EXPECT_THAT(run.densities[0].density_error, ElementsAre(5, 6));
  EXPECT_TRUE(std::isnan(run.densities[0].width)) << "there is none";
  ASSERT_THAT(run.spectra, SizeIs(1));
  EXPECT_EQ(run.spectra[0].count, 2);
  EXPECT_THAT(run.spectra[0].upper.lambda, ElementsAre(4, 3));
  EXPECT_THAT(run.spectra[0].lower.lambda, IsEmpty());
  EXPECT_FALSE(run.anatomy);
  EXPECT_THAT(run.problems, ElementsAre(HasSubstr("/spectrum/residual-0/lambda_lower does not fit"),
                                        HasSubstr("/anatomy: its datasets do not fit together")));
}

TEST(RunContent, RefusesFilesThatAreNotRunFiles) {
  const TemporaryFolder folder;
  std::ofstream(folder / "run.h5") << "not HDF5";
  EXPECT_THAT(support::refusal_of([&] { read_run(folder / "run.h5"); }), HasSubstr((folder / "run.h5").string()));
}

}  // namespace
}  // namespace hessian::tests
