#include "run_file/probe_layout.h"

#include <hdf5.h>

#include <map>

#include "raw_hdf5.h"
#include "run_file_support.h"

namespace hessian::tests {
namespace {

using experiments::DatasetSpec;
using experiments::ElementType;
using experiments::Hdf5Handle;
using experiments::RunFileReader;
using experiments::RunFileWriter;
using experiments::Shape;
using hessian::tests::example_info;
using hessian::tests::open_raw;
using hessian::tests::raw_text_attribute;
using hessian::tests::TemporaryFolder;

struct ExpectedDataset {
  ElementType type;
  Shape shape;
  std::string units;
  std::map<std::string, double> numbers = {};
};

TEST(ProbeLayout, HasTheDatasetsOfTheFormat) {
  constexpr int64_t sequences = 4;
  const experiments::ProbeLayoutOptions options{.sites = {{"residual", {0, 1, 2}}, {"ffn_in", {1}}},
                                                .sequences = sequences,
                                                .check = true,
                                                .both_ends = true,
                                                .certify = 0.02,
                                                .confidence = 0.99,
                                                .token_position = true};
  // Written out by hand from docs/file-format.md.
  std::map<std::string, ExpectedDataset> expected = {
      {"/probe/step", {ElementType::int64, {1}, "steps"}},
      {"/probe/loss", {ElementType::float64, {1, sequences}, "nats"}},
      {"/probe/token_position", {ElementType::int64, {sequences}, "tokens"}},
  };
  for (const auto& [site, rows] : {std::pair<std::string, int64_t>("residual", 3), {"ffn_in", 1}}) {
    const std::string prefix = "/probe/" + site + "/";
    expected["/probe/layer/" + site] = {ElementType::int64, {rows}, "1"};
    for (const char* name : {"spectral_norm", "lambda_max", "lambda_min", "residual_norm", "asymmetry"}) {
      expected[prefix + name] = {ElementType::float64, {1, rows, sequences}, "nats"};
    }
    for (const char* name : {"norm_upper", "lambda_max_upper", "lambda_min_lower"}) {
      expected[prefix + name] = {
          ElementType::float64, {1, rows, sequences}, "nats", {{"certify", 0.02}, {"confidence", 0.99}}};
    }
    expected[prefix + "iterations"] = {ElementType::int32, {1, rows, sequences}, "products"};
    expected[prefix + "converged"] = {ElementType::uint8, {1, rows, sequences}, "1"};
    for (const char* name :
         {"rms", "abs_max", "abs_mean", "feature_outlier", "check_relative_difference", "check_precision_difference"}) {
      expected[prefix + name] = {ElementType::float64, {1, rows}, "1"};
    }
  }

  const TemporaryFolder folder;
  const auto datasets = experiments::probe_datasets(options);
  auto writer = RunFileWriter::create(folder / "run.h5", example_info(), datasets);
  experiments::write_probe_layers(writer, options);
  writer.finish();

  const RunFileReader reader(folder / "run.h5");
  EXPECT_EQ(reader.read<int64_t>("/probe/layer/residual").values, (std::vector<int64_t>{0, 1, 2}));
  EXPECT_EQ(reader.read<int64_t>("/probe/layer/ffn_in").values, (std::vector<int64_t>{1}));
  EXPECT_EQ(reader.datasets().size(), expected.size());
  const Hdf5Handle file = open_raw(folder / "run.h5");
  for (const auto& [path, want] : expected) {
    ASSERT_TRUE(reader.contains(path)) << path;
    const DatasetSpec found = reader.describe(path);
    EXPECT_EQ(found.type, want.type) << path;
    EXPECT_EQ(found.shape, want.shape) << path;
    EXPECT_EQ(found.numbers, want.numbers) << path;

    const Hdf5Handle dataset(H5Dopen2(file.get(), path.c_str(), H5P_DEFAULT), H5Dclose);
    EXPECT_EQ(raw_text_attribute(dataset.get(), "units"), want.units) << path;
    EXPECT_GT(raw_text_attribute(dataset.get(), "long_name").size(), 8U) << path;
    const Hdf5Handle space(H5Dget_space(dataset.get()), H5Sclose);
    std::vector<hsize_t> max_shape(want.shape.size());
    H5Sget_simple_extent_dims(space.get(), nullptr, max_shape.data());
    EXPECT_EQ(max_shape, std::vector<hsize_t>(want.shape.size(), H5S_UNLIMITED)) << path;
  }
}

TEST(ProbeLayout, OmitsDatasetsThatWereNotRequestedAndRefusesBadSites) {
  experiments::ProbeLayoutOptions options{.sites = {{"residual", {0}}}};
  for (const DatasetSpec& dataset : experiments::probe_datasets(options)) {
    EXPECT_EQ(dataset.path.find("check"), std::string::npos);
    EXPECT_NE(dataset.path, "/probe/token_position");
    EXPECT_NE(dataset.path, "/probe/residual/lambda_max_upper");
    EXPECT_NE(dataset.path, "/probe/residual/lambda_min_lower");
  }
  options.sites.push_back({"residual", {1}});
  EXPECT_THROW(experiments::probe_datasets(options), std::invalid_argument);
  for (const char* name : {"", "a/b", "layer", "loss"}) {
    options.sites = {{name, {0}}};
    EXPECT_THROW(experiments::probe_datasets(options), std::invalid_argument) << name;
  }
  options.sites = {{"residual", {}}};
  EXPECT_THROW(experiments::probe_datasets(options), std::invalid_argument);
}

}  // namespace
}  // namespace hessian::tests
