// Tests how the file of a run that ended early is continued.

#include <hdf5.h>

#include <chrono>
#include <cmath>
#include <csignal>
#include <numeric>
#include <random>
#include <thread>

#include "child_process.h"
#include "refusal.h"
#include "run_file/hdf5_handle.h"
#include "run_file_support.h"

namespace hessian::tests {
namespace {

namespace fs = std::filesystem;
using experiments::DatasetSpec;
using experiments::ElementType;
using experiments::Hdf5Handle;
using experiments::RunFileReader;
using experiments::RunFileWriter;
using experiments::RunInfo;
using experiments::Shape;
using hessian::support::refusal_of;
using hessian::tests::example_info;
using hessian::tests::is_one_line_about;
using hessian::tests::read_text_file;
using hessian::tests::report;
using hessian::tests::start;
using hessian::tests::TemporaryFolder;
using hessian::tests::wait_for;
using ::testing::HasSubstr;

using Texts = std::vector<std::string>;
using Rows = std::map<std::string, int64_t>;

/// One dataset of each type, two of them of a fixed size.
const std::vector<DatasetSpec> datasets = {
    {"/fixed/sites", ElementType::text, {3}, "1", "sites", 8},
    {"/fixed/table", ElementType::float64, {2, 3}, "1", "table"},
    {"/train/flag", ElementType::uint8, {0}, "1", "flag"},
    {"/train/group", ElementType::text, {0, 2}, "1", "two names a row", 12},
    {"/train/loss", ElementType::float64, {0, 3}, "nats", "loss"},
    {"/train/small", ElementType::int32, {0}, "1", "small"},
    {"/train/step", ElementType::int64, {0}, "steps", "step"},
};

Rows keep(int64_t rows) {
  return {{"/train/flag", rows},
          {"/train/group", rows},
          {"/train/loss", rows},
          {"/train/small", rows},
          {"/train/step", rows}};
}

void append_row(RunFileWriter& writer, int64_t row) {
  const auto value = static_cast<double>(row);
  writer.append("/train/flag", std::vector<uint8_t>{static_cast<uint8_t>(row % 200)});
  writer.append("/train/group", Texts{"g" + std::to_string(row), row % 2 == 0 ? "even" : ""});
  writer.append("/train/loss", std::vector<double>{value, -value, 0.5 * value});
  writer.append("/train/small", std::vector<int32_t>{static_cast<int32_t>(3 * row)});
  writer.append("/train/step", std::vector<int64_t>{row << 33});
}

void fill_fixed(RunFileWriter& writer) {
  writer.write("/fixed/sites", {0}, {2}, Texts{"residual", "attn_in"});
  writer.write("/fixed/table", {1, 0}, {1, 3}, std::vector<double>{4.0, 5.0, 6.0});
}

RunInfo later_info() {
  RunInfo info = example_info();
  info.command_line = "hessian-train --resume";
  return info;
}

/// Writes a run of `rows` rows, finished or not.
void write_run(const fs::path& path, int64_t rows, bool finish) {
  auto writer = RunFileWriter::create(path, example_info(), datasets);
  fill_fixed(writer);
  for (int64_t row = 0; row < rows; ++row) {
    append_row(writer, row);
  }
  writer.set_peak_memory_bytes(77);
  finish ? writer.finish() : writer.flush();
}

/// Checks that the run has rows 0, 1, 2 ... of append_row() and the values of fill_fixed().
void check_run(const fs::path& path, int64_t rows) {
  const RunFileReader run(path);
  EXPECT_EQ(run.read<std::string>("/fixed/sites").values, (Texts{"residual", "attn_in", ""}));
  const auto table = run.read<double>("/fixed/table").values;
  EXPECT_TRUE(std::all_of(table.begin(), table.begin() + 3, [](double value) { return std::isnan(value); }));
  EXPECT_EQ(std::vector<double>(table.begin() + 3, table.end()), (std::vector<double>{4.0, 5.0, 6.0}));
  const auto flags = run.read<uint8_t>("/train/flag").values;
  const auto groups = run.read<std::string>("/train/group");
  const auto losses = run.read<double>("/train/loss");
  const auto smalls = run.read<int32_t>("/train/small").values;
  const auto steps = run.read<int64_t>("/train/step").values;
  ASSERT_EQ(groups.shape, (Shape{rows, 2}));
  ASSERT_EQ(losses.shape, (Shape{rows, 3}));
  ASSERT_EQ(flags.size(), static_cast<size_t>(rows));
  ASSERT_EQ(smalls.size(), static_cast<size_t>(rows));
  ASSERT_EQ(steps.size(), static_cast<size_t>(rows));
  for (int64_t row = 0; row < rows; ++row) {
    const auto i = static_cast<size_t>(row);
    ASSERT_EQ(flags[i], row % 200);
    ASSERT_EQ(groups.values[2 * i], "g" + std::to_string(row));
    ASSERT_EQ(groups.values[2 * i + 1], row % 2 == 0 ? "even" : "");
    ASSERT_EQ(losses.values[3 * i + 1], static_cast<double>(-row));
    ASSERT_EQ(losses.values[3 * i + 2], 0.5 * static_cast<double>(row));
    ASSERT_EQ(smalls[i], 3 * row);
    ASSERT_EQ(steps[i], row << 33);
  }
}

TEST(RunFileContinue, ContinuesAFinishedFileAfterTheRowsToKeep) {
  for (const int64_t kept : {0, 1, 7, 20}) {
    const TemporaryFolder folder;
    const fs::path path = folder / "run.h5";
    write_run(path, 20, true);
    auto writer = RunFileWriter::continue_from(path, later_info(), datasets, keep(kept));
    EXPECT_EQ(writer.shape("/train/loss"), (Shape{kept, 3}));
    check_run(path, kept);
    EXPECT_FALSE(RunFileReader(path).finished());
    for (int64_t row = kept; row < 30; ++row) {
      append_row(writer, row);
    }
    writer.finish();
    check_run(path, 30);
    EXPECT_EQ(RunFileReader(path).datasets().size(), datasets.size());
    EXPECT_TRUE(RunFileReader(path).finished());
    EXPECT_EQ(RunFileReader(path).info(), later_info());
    EXPECT_EQ(folder.names(), Texts{"run.h5"});
  }
}

TEST(RunFileContinue, KeepsCreationTimeAndPeakMemory) {
  const TemporaryFolder folder;
  const fs::path path = folder / "run.h5";
  write_run(path, 3, true);
  const std::string long_ago = "2001-02-03T04:05:06Z";
  {
    const Hdf5Handle file(H5Fopen(path.c_str(), H5F_ACC_RDWR, H5P_DEFAULT), H5Fclose);
    const Hdf5Handle attribute(H5Aopen(file.get(), "created", H5P_DEFAULT), H5Aclose);
    const Hdf5Handle type(H5Aget_type(attribute.get()), H5Tclose);
    const char* text = long_ago.c_str();
    ASSERT_GE(H5Awrite(attribute.get(), type.get(), &text), 0);
  }
  RunFileWriter::continue_from(path, later_info(), datasets, keep(3)).flush();
  EXPECT_EQ(RunFileReader(path).created(), long_ago);
  EXPECT_EQ(RunFileReader(path).peak_memory_bytes(), 77);
}

TEST(RunFileContinue, ContinuesTheFileOfAKilledWriter) {
  const TemporaryFolder folder;
  const fs::path path = folder / "run.h5";
  const auto child = start([&](int progress) {
    auto writer = RunFileWriter::create(path, example_info(), datasets);
    fill_fixed(writer);
    for (int64_t row = 0; row < 1000; ++row) {
      append_row(writer, row);
    }
    writer.flush();
    append_row(writer, 1000);  // never flushed
    report(progress, 'r');
    ::pause();
  });
  char flushed = 0;
  ASSERT_EQ(::read(child.progress, &flushed, 1), 1);
  ::kill(child.process, SIGKILL);
  wait_for(child);
  ASSERT_FALSE(RunFileReader(path).finished());

  auto writer = RunFileWriter::continue_from(path, later_info(), datasets, keep(900));
  for (int64_t row = 900; row < 1100; ++row) {
    append_row(writer, row);
  }
  writer.finish();
  check_run(path, 1100);
  EXPECT_EQ(folder.names(), Texts{"run.h5"});
}

TEST(RunFileContinue, KilledWhileResumingLosesNoneOfTheRowsToKeep) {
  const unsigned seed = std::random_device()();
  std::printf("  seed %u\n", seed);
  std::mt19937 random(seed);
  std::uniform_int_distribution<int64_t> delay(0, 15'000);
  const TemporaryFolder folder;
  const fs::path path = folder / "run.h5";
  write_run(path, 500, false);
  int replaced = 0;
  for (int trial = 0; trial < 40; ++trial) {
    RunInfo info = example_info();
    info.seed = static_cast<uint64_t>(trial);
    const auto child = start([&](int) {
      while (true) {
        RunFileWriter::continue_from(path, info, datasets, keep(500));
      }
    });
    std::this_thread::sleep_for(std::chrono::microseconds(delay(random)));
    ::kill(child.process, SIGKILL);
    wait_for(child);
    check_run(path, 500);
    replaced += RunFileReader(path).info() == info ? 1 : 0;
    ASSERT_FALSE(HasFailure()) << "seed " << seed << ", trial " << trial;
  }
  std::printf("  %d of 40 replaced the file\n", replaced);
  RunFileWriter::continue_from(path, later_info(), datasets, keep(500)).finish();
  EXPECT_EQ(folder.names(), Texts{"run.h5"});
}

TEST(RunFileContinue, KeepsTheOldFileForItsReaders) {
  const TemporaryFolder folder;
  const fs::path path = folder / "run.h5";
  write_run(path, 20, false);
  RunFileReader reader(path);
  auto writer = RunFileWriter::continue_from(path, later_info(), datasets, keep(5));
  append_row(writer, 5);
  writer.flush();
  EXPECT_EQ(reader.read<int32_t>("/train/small").shape, Shape{20});
  EXPECT_EQ(reader.read<int32_t>("/train/small").values.back(), 57);
  EXPECT_EQ(reader.info(), example_info());
  reader.refresh();
  EXPECT_EQ(reader.read<int32_t>("/train/small").shape, Shape{6});
  EXPECT_EQ(reader.info(), later_info());
}

TEST(RunFileContinue, DoesNotChangeAFileThatItRefuses) {
  const TemporaryFolder folder;
  const fs::path path = folder / "run.h5";
  write_run(path, 80, false);
  const std::string before = read_text_file(path);
  const auto refusal = [&](const std::vector<DatasetSpec>& wanted, const Rows& rows) {
    const std::string message =
        refusal_of<std::exception>([&] { RunFileWriter::continue_from(path, later_info(), wanted, rows); });
    EXPECT_TRUE(is_one_line_about(message, path));
    EXPECT_EQ(read_text_file(path), before) << message;
    EXPECT_EQ(folder.names(), Texts{"run.h5"}) << message;
    return support::without_prefix(message, path.string());
  };
  const auto changed = [](size_t index, auto&& change) {
    auto result = datasets;
    change(result[index]);
    return result;
  };
  Rows rows = keep(80);
  rows["/train/loss"] = 100;
  EXPECT_EQ(refusal(datasets, rows), ": dataset '/train/loss' has 80 rows, expected at least 100 to continue from");
  EXPECT_THROW(RunFileWriter::continue_from(path, later_info(), datasets, rows), std::runtime_error);

  auto more = datasets;
  more.push_back({"/train/lr", ElementType::float64, {0}, "1", "learning rate"});
  rows = keep(80);
  rows["/train/lr"] = 80;
  EXPECT_EQ(refusal(more, rows), ": no dataset '/train/lr' in this file");
  const std::vector<DatasetSpec> fewer(datasets.begin() + 1, datasets.end());
  EXPECT_EQ(refusal(fewer, keep(80)), ": dataset '/fixed/sites' would be lost: the resumed run does not write it");

  EXPECT_EQ(refusal(changed(5, [](DatasetSpec& small) { small.type = ElementType::int64; }), keep(80)),
            ": dataset '/train/small' holds int32, expected int64");
  EXPECT_EQ(refusal(changed(4,
                            [](DatasetSpec& loss) {
                              loss.shape = {0, 4};
                            }),
                    keep(70)),
            ": dataset '/train/loss' is [80, 3], expected at least [70, 4]");
  EXPECT_EQ(refusal(changed(4, [](DatasetSpec& loss) { loss.shape = {0}; }), keep(70)),
            ": dataset '/train/loss' is [80, 3], expected at least [70]");
  EXPECT_EQ(refusal(changed(1,
                            [](DatasetSpec& table) {
                              table.shape = {1, 3};
                            }),
                    keep(80)),
            ": dataset '/fixed/table' is [2, 3], expected [1, 3]");
  // This mismatch is found only while copying.
  EXPECT_EQ(refusal(changed(0, [](DatasetSpec& sites) { sites.text_bytes = 7; }), keep(80)),
            ": dataset '/fixed/sites' given a text of 8 bytes, expected at most 7");

  rows = keep(80);
  rows.erase("/train/flag");
  EXPECT_EQ(refusal(datasets, rows), ": dataset '/train/flag' grows, but the number of rows to keep is not given");
  rows = keep(80);
  rows["/fixed/table"] = 1;
  EXPECT_EQ(refusal(datasets, rows), ": dataset '/fixed/table' is given rows to keep, but does not grow");
  EXPECT_EQ(refusal(datasets, keep(-1)), ": dataset '/train/flag' is to keep -1 rows, expected 0 or more");
  EXPECT_THAT(refusal(changed(0, [](DatasetSpec& sites) { sites.shape = {}; }), keep(80)), HasSubstr("has shape []"));
}

TEST(RunFileContinue, RefusesFilesThatAreNotRunFiles) {
  const TemporaryFolder folder;
  const auto refusal = [&](const fs::path& path) {
    std::string message = refusal_of([&] { RunFileWriter::continue_from(path, later_info(), {}, {}); });
    EXPECT_TRUE(is_one_line_about(message, path));
    return message;
  };
  EXPECT_THAT(refusal(folder / "absent.h5"), HasSubstr("No such file or directory"));
  hessian::tests::write_text_file(folder / "notes.h5", "not HDF5");
  EXPECT_THAT(refusal(folder / "notes.h5"), HasSubstr("not an HDF5 file"));
  EXPECT_EQ(read_text_file(folder / "notes.h5"), "not HDF5");
  EXPECT_EQ(folder.names(), Texts{"notes.h5"});
}

TEST(RunFileContinue, AcceptsTextsThatHaveBecomeLongerOrOfVariableLength) {
  const TemporaryFolder folder;
  const fs::path path = folder / "run.h5";
  std::vector<DatasetSpec> texts = {{"/x", ElementType::text, {0}, "1", "x", 4}};
  auto writer = RunFileWriter::create(path, example_info(), texts);
  writer.append("/x", Texts{"four"});
  writer.finish();
  texts.front().text_bytes = 5;
  writer = RunFileWriter::continue_from(path, example_info(), texts, {{"/x", 1}});
  writer.append("/x", Texts{"fiver"});
  writer.finish();
  EXPECT_EQ(RunFileReader(path).read<std::string>("/x").values, (Texts{"four", "fiver"}));
  {
    const Hdf5Handle file(H5Fopen(path.c_str(), H5F_ACC_RDWR, H5P_DEFAULT), H5Fclose);
    ASSERT_GE(H5Ldelete(file.get(), "/x", H5P_DEFAULT), 0);
    const Hdf5Handle type(H5Tcopy(H5T_C_S1), H5Tclose);
    ASSERT_GE(H5Tset_size(type.get(), H5T_VARIABLE), 0);
    const hsize_t count = 2;
    const Hdf5Handle space(H5Screate_simple(1, &count, nullptr), H5Sclose);
    const Hdf5Handle dataset(
        H5Dcreate2(file.get(), "/x", type.get(), space.get(), H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT), H5Dclose);
    const std::array<const char*, 2> values = {"one", "two"};
    ASSERT_GE(
        H5Dwrite(dataset.get(), type.get(), H5S_ALL, H5S_ALL, H5P_DEFAULT, static_cast<const void*>(values.data())), 0);
  }
  RunFileWriter::continue_from(path, example_info(), texts, {{"/x", 2}}).finish();
  EXPECT_EQ(RunFileReader(path).read<std::string>("/x").values, (Texts{"one", "two"}));
  EXPECT_EQ(RunFileReader(path).describe("/x").text_bytes, 5);
}

TEST(RunFileContinue, CopiesMoreThanItHoldsAtOnce) {
  const TemporaryFolder folder;
  const fs::path path = folder / "run.h5";
  constexpr int64_t rows = 1'300'000;  // more than two copies of 4 MiB
  const std::vector<DatasetSpec> steps = {{"/train/step", ElementType::int64, {0}, "steps", "step"},
                                          {"/fixed", ElementType::float64, {1500, 1000}, "1", "12 MB"}};
  std::vector<int64_t> expected(rows);
  std::iota(expected.begin(), expected.end(), int64_t{0});
  std::vector<double> table(1500 * 1000);
  std::iota(table.begin(), table.end(), 0.0);
  auto writer = RunFileWriter::create(path, example_info(), steps);
  writer.append("/train/step", expected);
  writer.write("/fixed", {0, 0}, {1500, 1000}, table);
  writer.finish();
  RunFileWriter::continue_from(path, example_info(), steps, {{"/train/step", rows - 1}}).finish();
  expected.pop_back();
  EXPECT_TRUE(RunFileReader(path).read<int64_t>("/train/step").values == expected);
  EXPECT_TRUE(RunFileReader(path).read<double>("/fixed").values == table);
}

}  // namespace
}  // namespace hessian::tests
