#include <hdf5.h>

#include <numeric>
#include <random>

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
using experiments::Shape;
using hessian::support::refusal_of;
using hessian::tests::example_info;
using hessian::tests::has_program;
using hessian::tests::is_one_line_about;
using hessian::tests::run_command;
using hessian::tests::TemporaryFolder;
using hessian::tests::write_text_file;
using ::testing::HasSubstr;

const std::vector<DatasetSpec> train_datasets = {
    {"/train/step", ElementType::int64, {0}, "steps", "training step"},
    {"/train/loss", ElementType::float64, {0}, "nats", "training loss"},
};

TEST(RunFileReader, TwoReadersInOneProcessSeeWhatAnotherProcessFlushes) {
  const TemporaryFolder folder;
  const fs::path path = folder / "run.h5";
  std::array<int, 2> commands{};
  std::array<int, 2> answers{};
  ASSERT_EQ(::pipe(commands.data()) | ::pipe(answers.data()), 0);
  const pid_t child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    ::close(commands[1]);
    auto writer = RunFileWriter::create(path, example_info(), train_datasets);
    char command = 'a';
    double value = 0.0;
    while (::write(answers[1], &command, 1) == 1 && ::read(commands[0], &command, 1) == 1 && command != 'f') {
      writer.append("/train/loss", std::span<const double>(&value, 1));
      writer.set_peak_memory_bytes(static_cast<int64_t>(value));
      writer.flush();
      value += 1.0;
    }
    writer.finish();
    ::_exit(::write(answers[1], &command, 1) == 1 ? 0 : 1);
  }
  const auto wait_for_writer = [&] {
    char answer = 0;
    ASSERT_EQ(::read(answers[0], &answer, 1), 1);
  };
  const auto tell_writer = [&](char command) { ASSERT_EQ(::write(commands[1], &command, 1), 1); };

  wait_for_writer();
  RunFileReader first(path);
  RunFileReader second(path);
  for (int64_t row = 0; row < 20; ++row) {
    tell_writer('a');
    wait_for_writer();
    for (RunFileReader* reader : {&first, &second}) {
      reader->refresh();
      const auto values = reader->read<double>("/train/loss").values;
      ASSERT_EQ(values.size(), static_cast<size_t>(row + 1));
      EXPECT_EQ(values.back(), static_cast<double>(row));
      EXPECT_EQ(reader->peak_memory_bytes(), row);
      EXPECT_FALSE(reader->finished());
    }
  }
  tell_writer('f');
  wait_for_writer();
  first.refresh();
  second.refresh();
  EXPECT_TRUE(first.finished());
  EXPECT_TRUE(second.finished());
  int status = -1;
  ::waitpid(child, &status, 0);
  EXPECT_EQ(status, 0);
  for (const int descriptor : {commands[0], commands[1], answers[0], answers[1]}) {
    ::close(descriptor);
  }
}

TEST(RunFileReader, RefusesOtherFilesInOneLine) {
  const TemporaryFolder folder;
  const auto refusal = [](const fs::path& path) {
    const std::string message = refusal_of([&] { RunFileReader reader(path); });
    EXPECT_TRUE(is_one_line_about(message, path));
    return message;
  };
  EXPECT_THAT(refusal(folder / "absent.h5"), HasSubstr("No such file or directory"));
  EXPECT_THAT(refusal(folder.path()), HasSubstr("is not a file"));
  EXPECT_THAT(refusal("/dev/null"), HasSubstr("is not a file"));
  write_text_file(folder / "empty.h5", "");
  EXPECT_THAT(refusal(folder / "empty.h5"), HasSubstr("not an HDF5 file"));
  write_text_file(folder / "text.h5", std::string(10'000, 'x'));
  EXPECT_THAT(refusal(folder / "text.h5"), HasSubstr("not an HDF5 file"));

  const auto make = [&](const std::string& name, auto&& change) {
    const fs::path path = folder / name;
    RunFileWriter::create(path, example_info(), train_datasets).finish();
    const Hdf5Handle file(H5Fopen(path.c_str(), H5F_ACC_RDWR, H5P_DEFAULT), H5Fclose);
    change(file.get());
    return path;
  };
  EXPECT_EQ(refusal(make("foreign.h5", [](hid_t file) { H5Adelete(file, "format"); })),
            (folder / "foreign.h5").string() + ": not a hessian run file: no attribute 'format'");
  EXPECT_THAT(refusal(make("damaged.h5", [](hid_t file) { H5Adelete(file, "seed"); })),
              HasSubstr("no attribute 'seed'"));
  EXPECT_THAT(refusal(make("newer.h5",
                           [](hid_t file) {
                             const int version = 2;
                             const Hdf5Handle attribute(H5Aopen(file, "format_version", H5P_DEFAULT), H5Aclose);
                             H5Awrite(attribute.get(), H5T_NATIVE_INT, &version);
                           })),
              HasSubstr("is of format version 2, this program reads up to version 1"));
  EXPECT_THAT(refusal(make("other.h5",
                           [](hid_t file) {
                             const Hdf5Handle attribute(H5Aopen(file, "format", H5P_DEFAULT), H5Aclose);
                             const Hdf5Handle type(H5Aget_type(attribute.get()), H5Tclose);
                             const char* text = "weather";
                             H5Awrite(attribute.get(), type.get(), &text);
                           })),
              HasSubstr("its format is 'weather', expected 'hessian-run'"));
  EXPECT_THAT(refusal(make("typed.h5",
                           [](hid_t file) {
                             H5Adelete(file, "format");
                             const Hdf5Handle space(H5Screate(H5S_SCALAR), H5Sclose);
                             H5Aclose(H5Acreate2(file, "format", H5T_STD_I32LE, space.get(), H5P_DEFAULT, H5P_DEFAULT));
                           })),
              HasSubstr("unreadable attribute 'format'"));
}

TEST(RunFileReader, SurvivesFilesCutAtAnyLength) {
  const TemporaryFolder folder;
  auto writer = RunFileWriter::create(folder / "run.h5", example_info(), train_datasets);
  writer.append("/train/loss", std::vector<double>(10'000, 1.0));
  writer.finish();
  const auto size = static_cast<int64_t>(fs::file_size(folder / "run.h5"));
  std::mt19937_64 random(20);
  for (int trial = 0; trial < 60; ++trial) {
    const int64_t length = trial == 0 ? size - 1 : std::uniform_int_distribution<int64_t>(0, size - 1)(random);
    fs::copy_file(folder / "run.h5", folder / "cut.h5", fs::copy_options::overwrite_existing);
    fs::resize_file(folder / "cut.h5", static_cast<uintmax_t>(length));
    const auto message = support::possible_refusal([&] {
      const RunFileReader reader(folder / "cut.h5");
      EXPECT_LE(reader.datasets().size(), 2U);
      // Reads a whole dataset or refuses with a clear message, but never returns rows that do not exist.
      for (const double value : reader.read<double>("/train/loss").values) {
        ASSERT_EQ(value, 1.0) << "cut at " << length << " of " << size;
      }
    });
    if (message) {
      EXPECT_TRUE(is_one_line_about(*message, folder / "cut.h5")) << "cut at " << length << " of " << size;
    }
  }
}

TEST(RunFileReader, NamesTheTypeOfADatasetIfAnotherIsRequested) {
  const TemporaryFolder folder;
  const std::string name = (folder / "run.h5").string();
  RunFileWriter::create(name, example_info(), train_datasets).finish();
  const RunFileReader reader(name);
  EXPECT_EQ(refusal_of([&] { static_cast<void>(reader.read<double>("/train/step")); }),
            name + ": dataset '/train/step' holds int64, expected float64");
  EXPECT_EQ(refusal_of([&] { static_cast<void>(reader.read<double>("/train/los")); }),
            name + ": no dataset '/train/los' in this file");
  EXPECT_EQ(refusal_of([&] { static_cast<void>(reader.describe("/train")); }),
            name + ": cannot open dataset '/train': not a dataset");
  EXPECT_FALSE(reader.contains("/nowhere/at/all"));
}

TEST(RunFileReader, ReadsTheRequestedRowsAndRefusesOthers) {
  const TemporaryFolder folder;
  const std::string name = (folder / "run.h5").string();
  auto writer = RunFileWriter::create(name, example_info(),
                                      {{"/loss", ElementType::float64, {0, 3}, "nats", "loss"},
                                       {"/cube", ElementType::int32, {4, 2, 3}, "1", "fixed"},
                                       {"/name", ElementType::text, {0}, "1", "names", 8}});
  std::vector<double> losses(30'000);
  std::iota(losses.begin(), losses.end(), 0.0);
  std::vector<int32_t> cube(24);
  std::iota(cube.begin(), cube.end(), 0);
  writer.append("/loss", losses);
  writer.append("/name", std::vector<std::string>{"a", "", "c"});
  writer.write("/cube", {0, 0, 0}, {4, 2, 3}, cube);
  writer.finish();

  const RunFileReader reader(name);
  for (const auto& [first, count] : {std::pair(0, 10'000), {1364, 3}, {9'999, 1}, {5'000, 0}, {10'000, 0}}) {
    const auto rows = reader.read_rows<double>("/loss", first, count);
    EXPECT_EQ(rows.shape, (Shape{count, 3}));
    const auto begin = losses.begin() + 3 * first;
    EXPECT_EQ(rows.values, std::vector<double>(begin, begin + 3 * count));
  }
  EXPECT_EQ(reader.read_rows<int32_t>("/cube", 1, 2).values, std::vector<int32_t>(cube.begin() + 6, cube.end() - 6));
  EXPECT_EQ(reader.read_rows<std::string>("/name", 1, 2).values, (std::vector<std::string>{"", "c"}));

  EXPECT_EQ(refusal_of<std::invalid_argument>([&] { static_cast<void>(reader.read_rows<int32_t>("/cube", 3, 2)); }),
            name + ": dataset '/cube' is [4, 2, 3], 2 rows from row 3 on do not lie inside it");
  EXPECT_THROW(static_cast<void>(reader.read_rows<double>("/loss", -1, 2)), std::invalid_argument);
  EXPECT_THROW(static_cast<void>(reader.read_rows<double>("/loss", 1, -1)), std::invalid_argument);
  EXPECT_THROW(static_cast<void>(reader.read_rows<double>("/loss", 1, INT64_MAX)), std::invalid_argument);
  EXPECT_THROW(static_cast<void>(reader.read_rows<int64_t>("/loss", 0, 1)), std::runtime_error);
}

TEST(RunFileReader, ReadsFilesRewrittenByOtherToolsWithoutSwmr) {
  if (!has_program("h5repack")) {
    GTEST_SKIP() << "h5repack is not installed";
  }
  const TemporaryFolder folder;
  auto writer = RunFileWriter::create(folder / "run.h5", example_info(), train_datasets);
  writer.append("/train/loss", std::vector<double>{1.0, 2.0});
  writer.finish();
  const auto repack =
      run_command("h5repack -f GZIP=1 " + (folder / "run.h5").string() + " " + (folder / "old.h5").string());
  ASSERT_EQ(repack.status, 0) << repack.output;
  const RunFileReader reader(folder / "old.h5");
  EXPECT_EQ(reader.info(), example_info());
  EXPECT_EQ(reader.read<double>("/train/loss").values, (std::vector<double>{1.0, 2.0}));
}

TEST(RunFileReader, DoesNotAllocateTheSizeThatADamagedShapeClaims) {
  const TemporaryFolder folder;
  RunFileWriter::create(folder / "run.h5", example_info(), train_datasets).finish();
  {
    const Hdf5Handle file(H5Fopen((folder / "run.h5").c_str(), H5F_ACC_RDWR, H5P_DEFAULT), H5Fclose);
    const Hdf5Handle dataset(H5Dopen2(file.get(), "/train/loss", H5P_DEFAULT), H5Dclose);
    const hsize_t claimed = hsize_t{1} << 50;
    ASSERT_GE(H5Dset_extent(dataset.get(), &claimed), 0);
  }
  const RunFileReader reader(folder / "run.h5");
  EXPECT_THAT(refusal_of([&] { static_cast<void>(reader.read<double>("/train/loss")); }), HasSubstr("is damaged"));
}

}  // namespace
}  // namespace hessian::tests
