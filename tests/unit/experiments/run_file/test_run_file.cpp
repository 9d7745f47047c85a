#include <hdf5.h>

#include <chrono>
#include <cmath>
#include <ctime>
#include <map>
#include <numeric>
#include <random>

#include "raw_hdf5.h"
#include "refusal.h"
#include "run_file_support.h"

namespace hessian::tests {
namespace {

namespace fs = std::filesystem;
using experiments::DatasetSpec;
using experiments::ElementType;
using experiments::Hdf5Handle;
using experiments::RunFileReader;
using experiments::RunFileWriter;
using experiments::Shape;
using hessian::support::refusal_of;
using hessian::tests::example_info;
using hessian::tests::has_program;
using hessian::tests::open_raw;
using hessian::tests::raw_integer;
using hessian::tests::raw_integer_type;
using hessian::tests::raw_text_attribute;
using hessian::tests::run_command;
using hessian::tests::TemporaryFolder;
using ::testing::HasSubstr;

const std::vector<DatasetSpec> train_datasets = {
    {"/train/step", ElementType::int64, {0}, "steps", "training step"},
    {"/train/loss", ElementType::float64, {0}, "nats", "training loss"},
};

TEST(RunFile, StoresTheRunInfoInTypedRootAttributes) {
  const TemporaryFolder folder;
  const fs::path path = folder / "run.h5";
  auto writer = RunFileWriter::create(path, example_info(), train_datasets);
  writer.set_peak_memory_bytes(int64_t{5} << 33);
  writer.finish();

  const Hdf5Handle file = open_raw(path);
  const auto info = example_info();
  EXPECT_EQ(raw_text_attribute(file.get(), "format"), "hessian-run");
  EXPECT_EQ(raw_text_attribute(file.get(), "program"), info.program);
  EXPECT_EQ(raw_text_attribute(file.get(), "command_line"), info.command_line);
  EXPECT_EQ(raw_text_attribute(file.get(), "version"), info.version);
  EXPECT_EQ(raw_text_attribute(file.get(), "libtorch"), info.libtorch);
  EXPECT_EQ(raw_text_attribute(file.get(), "cuda"), info.cuda);
  EXPECT_EQ(raw_text_attribute(file.get(), "git_commit"), info.git_commit);
  EXPECT_EQ(raw_text_attribute(file.get(), "device"), info.device);
  EXPECT_EQ(raw_text_attribute(file.get(), "dtype"), info.dtype);
  EXPECT_EQ(raw_text_attribute(file.get(), "config"), info.config);
  EXPECT_EQ(raw_text_attribute(file.get(), "model"), info.model);
  EXPECT_EQ(raw_integer_type(file.get(), "format_version"), "i32");
  EXPECT_EQ(raw_integer_type(file.get(), "finished"), "i32");
  EXPECT_EQ(raw_integer_type(file.get(), "seed"), "u64");
  EXPECT_EQ(raw_integer_type(file.get(), "peak_memory_bytes"), "i64");
  EXPECT_EQ(raw_integer<int32_t>(file.get(), "format_version", H5T_NATIVE_INT32), 1);
  EXPECT_EQ(raw_integer<int32_t>(file.get(), "finished", H5T_NATIVE_INT32), 1);
  EXPECT_EQ(raw_integer<uint64_t>(file.get(), "seed", H5T_NATIVE_UINT64), info.seed);
  EXPECT_EQ(raw_integer<int64_t>(file.get(), "peak_memory_bytes", H5T_NATIVE_INT64), int64_t{5} << 33);

  std::tm created{};
  const std::string text = raw_text_attribute(file.get(), "created");
  const char* end = ::strptime(text.c_str(), "%Y-%m-%dT%H:%M:%SZ", &created);
  ASSERT_TRUE(end != nullptr && *end == '\0') << text;
  EXPECT_NEAR(static_cast<double>(::timegm(&created)), static_cast<double>(std::time(nullptr)), 60.0);

  const RunFileReader reader(path);
  EXPECT_EQ(reader.info(), info);
  EXPECT_EQ(reader.created(), text);
  EXPECT_EQ(reader.format_version(), 1);
  EXPECT_TRUE(reader.finished());
  EXPECT_EQ(reader.peak_memory_bytes(), int64_t{5} << 33);
}

TEST(RunFile, KeepsTextsLongerThanAnObjectHeaderHolds) {
  const TemporaryFolder folder;
  auto info = example_info();
  info.config = std::string(300'000, 'c');
  info.command_line = std::string(70'000, 'x');
  info.device = "";
  RunFileWriter::create(folder / "run.h5", info, train_datasets).finish();
  EXPECT_EQ(RunFileReader(folder / "run.h5").info(), info);
}

/// Writes random regions of a random shape and compares with a plain array, read by the reader and by HDF5 itself.
template <typename T>
void check_random_blocks(ElementType type, hid_t memory, T fill, unsigned seed) {
  std::mt19937 random(seed);
  const auto below = [&](int64_t n) { return std::uniform_int_distribution<int64_t>(0, n - 1)(random); };
  const TemporaryFolder folder;
  const fs::path path = folder / "run.h5";
  Shape shape(static_cast<size_t>(1 + below(4)));
  for (int64_t& extent : shape) {
    extent = 1 + below(7);
  }
  const int64_t total = std::accumulate(shape.begin(), shape.end(), int64_t{1}, std::multiplies<>());
  std::vector<T> expected(static_cast<size_t>(total), fill);

  auto writer = RunFileWriter::create(path, example_info(), {{"/a/b", type, shape, "u", "n"}});
  for (int block = 0; block < 5; ++block) {
    Shape offset(shape.size());
    Shape count(shape.size());
    for (size_t i = 0; i < shape.size(); ++i) {
      offset[i] = below(shape[i]);
      count[i] = 1 + below(shape[i] - offset[i]);
    }
    std::vector<T> values;
    for (int64_t flat = 0; flat < total; ++flat) {
      int64_t rest = flat;
      bool inside = true;
      for (size_t i = shape.size(); i-- > 0; rest /= shape[i]) {
        const int64_t index = rest % shape[i];
        inside = inside && index >= offset[i] && index < offset[i] + count[i];
      }
      if (inside) {
        values.push_back(static_cast<T>(below(200)));
        expected[static_cast<size_t>(flat)] = values.back();
      }
    }
    writer.write("/a/b", offset, count, values);
  }
  writer.finish();

  const auto same = [](T a, T b) { return a == b || (a != a && b != b); };
  const auto read = RunFileReader(path).read<T>("/a/b");
  EXPECT_EQ(read.shape, shape) << "seed " << seed;
  EXPECT_TRUE(std::equal(read.values.begin(), read.values.end(), expected.begin(), expected.end(), same))
      << "seed " << seed;

  const Hdf5Handle file = open_raw(path);
  const Hdf5Handle dataset(H5Dopen2(file.get(), "/a/b", H5P_DEFAULT), H5Dclose);
  std::vector<T> raw(expected.size());
  ASSERT_GE(H5Dread(dataset.get(), memory, H5S_ALL, H5S_ALL, H5P_DEFAULT, raw.data()), 0);
  EXPECT_TRUE(std::equal(raw.begin(), raw.end(), expected.begin(), expected.end(), same)) << "seed " << seed;
}

TEST(RunFile, ReadsBackRandomRegionsAndLeavesTheRestAtTheFillValue) {
  for (unsigned seed = 0; seed < 12; ++seed) {
    check_random_blocks<double>(ElementType::float64, H5T_NATIVE_DOUBLE, std::nan(""), seed);
    check_random_blocks<int64_t>(ElementType::int64, H5T_NATIVE_INT64, -1, seed);
    check_random_blocks<int32_t>(ElementType::int32, H5T_NATIVE_INT32, -1, seed);
    check_random_blocks<uint8_t>(ElementType::uint8, H5T_NATIVE_UINT8, 0, seed);
  }
}

TEST(RunFile, AppendsWholeRowsOfAnyRank) {
  const TemporaryFolder folder;
  auto writer = RunFileWriter::create(
      folder / "run.h5", example_info(),
      {{"/rows", ElementType::float64, {0, 2, 3}, "1", "rows"}, {"/flags", ElementType::uint8, {0}, "1", "flags"}});
  std::vector<double> row(6);
  std::iota(row.begin(), row.end(), 0.0);
  std::vector<double> two_rows(12);
  std::iota(two_rows.begin(), two_rows.end(), 6.0);
  writer.append("/rows", row);
  writer.append("/rows", two_rows);
  writer.append("/flags", std::vector<uint8_t>{1, 0, 1});
  writer.append("/flags", std::span<const uint8_t>());
  EXPECT_EQ(writer.shape("/rows"), (Shape{3, 2, 3}));
  EXPECT_EQ(refusal_of<std::invalid_argument>([&] { writer.append("/rows", std::span(two_rows).first(7)); }),
            (folder / "run.h5").string() + ": dataset '/rows' given 7 values, expected whole rows of 6");
  writer.finish();

  const RunFileReader reader(folder / "run.h5");
  const auto rows = reader.read<double>("/rows");
  EXPECT_EQ(rows.shape, (Shape{3, 2, 3}));
  for (size_t i = 0; i < rows.values.size(); ++i) {
    EXPECT_EQ(rows.values[i], static_cast<double>(i));
  }
  EXPECT_EQ(reader.read<uint8_t>("/flags").values, (std::vector<uint8_t>{1, 0, 1}));
}

TEST(RunFile, AppendsAMillionRowsInReasonableTimeAndSpace) {
  const TemporaryFolder folder;
  constexpr int64_t rows = 1'000'000;
  auto writer = RunFileWriter::create(folder / "run.h5", example_info(), train_datasets);
  const auto start = std::chrono::steady_clock::now();
  for (int64_t i = 0; i < rows; ++i) {
    const double loss = 1.0 / static_cast<double>(i + 1);
    writer.append("/train/step", std::span(&i, 1));
    writer.append("/train/loss", std::span(&loss, 1));
    if (i % 1000 == 0) {
      writer.flush();
    }
  }
  writer.finish();
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  std::printf("  %.2f s for 1,000,000 rows of two datasets\n", seconds);
  // Measured: about 0.3 s. Passing rows to HDF5 one by one takes 4 s; one chunk or one rewritten index per row,
  // minutes.
  EXPECT_LT(seconds, 90.0);
  EXPECT_LT(fs::file_size(folder / "run.h5"), 17'000'000U);  // 16 MB are the numbers themselves
  const auto steps = RunFileReader(folder / "run.h5").read<int64_t>("/train/step").values;
  ASSERT_EQ(steps.size(), static_cast<size_t>(rows));
  for (int64_t i = 0; i < rows; ++i) {
    ASSERT_EQ(steps[static_cast<size_t>(i)], i);
  }
}

TEST(RunFile, BuffersAppendedRowsUntilAFlushAndCountsThem) {
  const TemporaryFolder folder;
  const fs::path path = folder / "run.h5";
  auto writer = RunFileWriter::create(
      path, example_info(),
      {{"/x", ElementType::float64, {0, 2}, "1", "x"}, {"/y", ElementType::int64, {0}, "1", "y"}});
  const auto rows_in_file = [&] { return RunFileReader(path).read<double>("/x").values; };
  writer.append("/x", std::vector<double>{1, 2});
  writer.append("/x", std::vector<double>{3, 4, 5, 6});
  EXPECT_EQ(writer.shape("/x"), (Shape{3, 2}));
  EXPECT_EQ(rows_in_file().size(), 0U);
  writer.write("/x", {1, 1}, {1, 1}, std::vector<double>{40});  // overwrites one of them
  writer.append("/x", std::vector<double>{7, 8});
  writer.flush();
  EXPECT_EQ(rows_in_file(), (std::vector<double>{1, 2, 3, 40, 5, 6, 7, 8}));

  // Appends a few rows, then more than the buffer holds, then a few again, and destroys the writer without a flush.
  const std::vector<double> many(20'000, 9);
  writer.append("/x", std::vector<double>{-1, -2});
  writer.append("/x", many);
  writer.append("/x", std::vector<double>{-3, -4});
  { const RunFileWriter gone = std::move(writer); }
  std::vector<double> expected{1, 2, 3, 40, 5, 6, 7, 8, -1, -2};
  expected.insert(expected.end(), many.begin(), many.end());
  expected.insert(expected.end(), {-3, -4});
  EXPECT_EQ(rows_in_file(), expected);
}

TEST(RunFile, RefusesRegionsOutsideADatasetWithTheShapesInTheMessage) {
  const TemporaryFolder folder;
  const std::string name = (folder / "run.h5").string();
  auto writer = RunFileWriter::create(name, example_info(), {{"/x", ElementType::float64, {2, 3}, "1", "x"}});
  const std::vector<double> six(6);
  const std::vector<int64_t> integers(6);
  EXPECT_EQ(refusal_of<std::invalid_argument>([&] {
              writer.write("/y", {0, 0}, {2, 3}, six);
            }),
            name + ": dataset '/y' was not declared when the file was created");
  EXPECT_EQ(refusal_of<std::invalid_argument>([&] {
              writer.write("/x", {0, 0}, {2, 3}, integers);
            }),
            name + ": dataset '/x' holds float64, given int64");
  EXPECT_EQ(refusal_of<std::invalid_argument>([&] {
              writer.write("/x", {0, 1}, {2, 3}, six);
            }),
            name + ": dataset '/x' is [2, 3], a region of [2, 3] at [0, 1] does not lie inside it");
  EXPECT_EQ(refusal_of<std::invalid_argument>([&] { writer.write("/x", {0}, {6}, six); }),
            name + ": dataset '/x' is [2, 3], a region of [6] at [0] does not lie inside it");
  EXPECT_EQ(refusal_of<std::invalid_argument>([&] {
              writer.write("/x", {0, 0}, {1, 3}, six);
            }),
            name + ": dataset '/x' given 6 values, expected 3 for a region of [1, 3]");
  EXPECT_THROW(writer.write("/x", {0, -1}, {2, 3}, six), std::invalid_argument);
  writer.write("/x", {0, 0}, {2, 3}, six);  // none of these caused damage
  writer.finish();
  EXPECT_EQ(RunFileReader(name).read<double>("/x").values, six);
  EXPECT_THAT(refusal_of<std::logic_error>([&] { writer.write("/x", {0, 0}, {2, 3}, six); }), HasSubstr("is closed"));
}

TEST(RunFile, RefusesMalformedDatasetsBeforeTouchingTheDisk) {
  const TemporaryFolder folder;
  const auto create = [&](const std::vector<DatasetSpec>& datasets) {
    return refusal_of<std::exception>([&] { RunFileWriter::create(folder / "run.h5", example_info(), datasets); });
  };
  EXPECT_THAT(create({{"x", ElementType::float64, {1}, "", ""}}), HasSubstr("not an absolute path"));
  EXPECT_THAT(create({{"/x/", ElementType::float64, {1}, "", ""}}), HasSubstr("not an absolute path"));
  EXPECT_THAT(create({{"/x", ElementType::float64, {}, "", ""}}), HasSubstr("has shape []"));
  EXPECT_THAT(create({{"/x", ElementType::float64, {2, -1}, "", ""}}), HasSubstr("has shape [2, -1]"));
  EXPECT_THAT(create({{"/x", ElementType::float64, {1}, "", ""}, {"/x", ElementType::int32, {1}, "", ""}}),
              HasSubstr("given twice"));
  EXPECT_THAT(create({{"/x", ElementType::float64, {1}, "", ""}, {"/x/y", ElementType::int32, {1}, "", ""}}),
              HasSubstr("cannot create dataset '/x/y'"));
  EXPECT_TRUE(folder.names().empty());
}

TEST(RunFile, IsUnfinishedUntilFinishedAndWhenTheWriterIsDestroyed) {
  const TemporaryFolder folder;
  const double loss = 2.5;
  {
    auto first = RunFileWriter::create(folder / "run.h5", example_info(), train_datasets);
    RunFileWriter writer = std::move(first);
    writer.append("/train/loss", std::span(&loss, 1));
    writer.flush();
    EXPECT_FALSE(RunFileReader(folder / "run.h5").finished());
  }
  const RunFileReader reader(folder / "run.h5");
  EXPECT_FALSE(reader.finished());
  EXPECT_EQ(reader.read<double>("/train/loss").values, std::vector<double>{loss});
  EXPECT_TRUE(open_raw(folder / "run.h5").valid());
}

TEST(RunFile, IsReadByOrdinaryTools) {
  if (!has_program("h5dump")) {
    GTEST_SKIP() << "h5dump is not installed";
  }
  const TemporaryFolder folder;
  const std::string name = (folder / "run.h5").string();
  auto writer = RunFileWriter::create(name, example_info(), train_datasets);
  writer.append("/train/loss", std::vector<double>{1.5, 0.25});
  writer.append("/train/step", std::vector<int64_t>{10, 20});
  writer.finish();
  const auto dump = run_command("h5dump " + name);
  EXPECT_EQ(dump.status, 0) << dump.output;
  EXPECT_THAT(dump.output, HasSubstr("(0): 1.5, 0.25"));
  EXPECT_THAT(dump.output, HasSubstr("(0): 10, 20"));
  EXPECT_THAT(dump.output, HasSubstr("H5T_IEEE_F64LE"));
  EXPECT_THAT(dump.output, HasSubstr("H5T_STD_I64LE"));
  EXPECT_THAT(dump.output, HasSubstr("(0): \"nats\""));
  EXPECT_THAT(dump.output, HasSubstr("(0): \"hessian-run\""));
  EXPECT_THAT(dump.output, HasSubstr("(0): 18446744073709551615"));
}

TEST(RunFile, KeepsChunksBetweenOneRowAndOneMebibyte) {
  const TemporaryFolder folder;
  const std::map<std::string, std::pair<Shape, std::vector<hsize_t>>> cases = {
      {"/appended", {{0}, {4096}}},
      {"/appended_blocks", {{0, 32, 8}, {16, 32, 8}}},
      {"/appended_wide_rows", {{0, 100'000}, {1, 100'000}}},
      {"/fixed", {{1, 5, 4}, {1, 5, 4}}},
      {"/fixed_large", {{1000, 1000}, {250, 500}}},
  };
  std::vector<DatasetSpec> datasets;
  for (const auto& [path, shapes] : cases) {
    datasets.push_back({path, ElementType::float64, shapes.first, "1", "x"});
  }
  RunFileWriter::create(folder / "run.h5", example_info(), datasets).finish();
  const Hdf5Handle file = open_raw(folder / "run.h5");
  for (const auto& [path, shapes] : cases) {
    const Hdf5Handle dataset(H5Dopen2(file.get(), path.c_str(), H5P_DEFAULT), H5Dclose);
    const Hdf5Handle creation(H5Dget_create_plist(dataset.get()), H5Pclose);
    std::vector<hsize_t> chunk(shapes.first.size());
    ASSERT_GT(H5Pget_chunk(creation.get(), static_cast<int>(chunk.size()), chunk.data()), 0) << path;
    EXPECT_LE(8 * std::accumulate(chunk.begin(), chunk.end(), hsize_t{1}, std::multiplies<>()), hsize_t{1} << 20)
        << path;
    EXPECT_EQ(chunk, shapes.second) << path;
  }
}

}  // namespace
}  // namespace hessian::tests
