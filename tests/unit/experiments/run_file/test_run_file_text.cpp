// Tests that texts in run files are read back whole, by the reader and by HDF5 itself, or refused when they are
// written.

#include <hdf5.h>

#include <numeric>
#include <random>

#include "child_process.h"
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
using hessian::tests::report;
using hessian::tests::run_command;
using hessian::tests::start;
using hessian::tests::TemporaryFolder;
using hessian::tests::wait_for;
using ::testing::HasSubstr;

using Texts = std::vector<std::string>;

DatasetSpec status_dataset(int64_t text_bytes) {
  return {"/sweep/status", ElementType::text, {0}, "1", "outcome of each run", text_bytes};
}

/// Writes a finished run file with one dataset of texts.
void write_texts(const fs::path& path, const DatasetSpec& dataset, const Texts& texts) {
  auto writer = RunFileWriter::create(path, example_info(), {dataset});
  writer.append(dataset.path, texts);
  writer.finish();
}

/// Adds a dataset of another string type, as other tools create it.
void add_foreign_texts(const fs::path& path, const char* name, hid_t type, hsize_t count, const void* texts) {
  const Hdf5Handle file(H5Fopen(path.c_str(), H5F_ACC_RDWR, H5P_DEFAULT), H5Fclose);
  const Hdf5Handle space(H5Screate_simple(1, &count, nullptr), H5Sclose);
  const Hdf5Handle dataset(H5Dcreate2(file.get(), name, type, space.get(), H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT),
                           H5Dclose);
  ASSERT_TRUE(dataset.valid());
  ASSERT_TRUE(texts == nullptr || H5Dwrite(dataset.get(), type, H5S_ALL, H5S_ALL, H5P_DEFAULT, texts) >= 0);
}

TEST(RunFileText, ReadsBackTextsOfEveryKind) {
  const TemporaryFolder folder;
  const Texts texts = {"stable", "", "\xce\xbb\xe2\x82\xac", "exactly 16 bytes", " spaces kept ", "line\nline", "d"};
  ASSERT_EQ(texts[3].size(), 16U);
  write_texts(folder / "run.h5", status_dataset(16), texts);
  const auto read = RunFileReader(folder / "run.h5").read<std::string>("/sweep/status");
  EXPECT_EQ(read.values, texts);
  EXPECT_EQ(read.shape, Shape{7});
}

TEST(RunFileText, IsAPaddedUtf8StringToHdf5) {
  const TemporaryFolder folder;
  write_texts(folder / "run.h5", status_dataset(8), {"failed", "8 bytes.", ""});
  const Hdf5Handle file = open_raw(folder / "run.h5");
  const Hdf5Handle dataset(H5Dopen2(file.get(), "/sweep/status", H5P_DEFAULT), H5Dclose);
  const Hdf5Handle type(H5Dget_type(dataset.get()), H5Tclose);
  EXPECT_EQ(H5Tget_class(type.get()), H5T_STRING);
  EXPECT_EQ(H5Tis_variable_str(type.get()), 0);
  EXPECT_EQ(H5Tget_size(type.get()), 8U);
  EXPECT_EQ(H5Tget_strpad(type.get()), H5T_STR_NULLPAD);
  EXPECT_EQ(H5Tget_cset(type.get()), H5T_CSET_UTF8);
  std::string raw(24, '?');
  ASSERT_GE(H5Dread(dataset.get(), type.get(), H5S_ALL, H5S_ALL, H5P_DEFAULT, raw.data()), 0);
  EXPECT_EQ(raw, std::string("failed\0\0"
                             "8 bytes."
                             "\0\0\0\0\0\0\0\0",
                             24));
}

TEST(RunFileText, ReadsBackRandomTextsInRowsOfAnyWidth) {
  for (unsigned seed = 0; seed < 10; ++seed) {
    std::mt19937 random(seed);
    const auto below = [&](int64_t n) { return std::uniform_int_distribution<int64_t>(0, n - 1)(random); };
    const int64_t text_bytes = 1 + below(40);
    const int64_t width = 1 + below(5);
    const TemporaryFolder folder;
    auto writer = RunFileWriter::create(folder / "run.h5", example_info(),
                                        {{"/a/b", ElementType::text, {0, width}, "1", "x", text_bytes}});
    Texts expected;
    for (int append = 0; append < 30; ++append) {
      Texts rows(static_cast<size_t>(width * below(50)));
      for (std::string& text : rows) {
        text.resize(static_cast<size_t>(below(text_bytes + 1)));
        for (char& letter : text) {
          letter = static_cast<char>(1 + below(255));
        }
      }
      writer.append("/a/b", rows);
      expected.insert(expected.end(), rows.begin(), rows.end());
    }
    writer.finish();
    const auto read = RunFileReader(folder / "run.h5").read<std::string>("/a/b");
    EXPECT_EQ(read.values, expected) << "seed " << seed;
    EXPECT_EQ(read.shape, (Shape{static_cast<int64_t>(expected.size()) / width, width})) << "seed " << seed;
  }
}

TEST(RunFileText, ReadsUnwrittenTextsAsEmpty) {
  const TemporaryFolder folder;
  auto writer = RunFileWriter::create(folder / "run.h5", example_info(),
                                      {{"/x", ElementType::text, {2, 3}, "1", "x", 4},
                                       {"/untouched", ElementType::text, {2}, "1", "x", 4},
                                       status_dataset(8)});
  writer.write("/x", {0, 1}, {2, 1}, Texts{"up", "down"});
  writer.finish();
  const RunFileReader reader(folder / "run.h5");
  EXPECT_EQ(reader.read<std::string>("/x").values, (Texts{"", "up", "", "", "down", ""}));
  EXPECT_EQ(reader.read<std::string>("/untouched").values, (Texts{"", ""}));
  EXPECT_TRUE(reader.read<std::string>("/sweep/status").values.empty());
}

TEST(RunFileText, RefusesTextsThatCannotBeReadBackAndWritesNoneOfThem) {
  const TemporaryFolder folder;
  const std::string name = (folder / "run.h5").string();
  auto writer =
      RunFileWriter::create(name, example_info(), {status_dataset(6), {"/x", ElementType::text, {2}, "1", "x", 6}});
  const auto append = [&](const Texts& texts) {
    EXPECT_THROW(writer.append("/sweep/status", texts), std::invalid_argument);
    return refusal_of<std::invalid_argument>([&] { writer.append("/sweep/status", texts); });
  };
  EXPECT_EQ(append({"stable", "pending"}),
            name + ": dataset '/sweep/status' given a text of 7 bytes, expected at most 6");
  EXPECT_EQ(append({std::string("a\0b", 3)}),
            name + ": dataset '/sweep/status' given a text with a NUL byte, which ends a text in HDF5");
  EXPECT_THAT(append({std::string("a\0", 2)}), HasSubstr("NUL byte"));
  EXPECT_EQ(refusal_of<std::invalid_argument>([&] {
              writer.write("/x", {0}, {2}, Texts{"fits", "does not"});
            }),
            name + ": dataset '/x' given a text of 8 bytes, expected at most 6");
  EXPECT_EQ(refusal_of<std::invalid_argument>([&] { writer.append("/sweep/status", std::vector<double>{1.0}); }),
            name + ": dataset '/sweep/status' holds text, given float64");
  EXPECT_EQ(writer.shape("/sweep/status"), Shape{0});
  writer.append("/sweep/status", Texts{"stable"});  // none of these caused damage
  writer.finish();

  const RunFileReader reader(name);
  EXPECT_EQ(reader.read<std::string>("/sweep/status").values, Texts{"stable"});
  EXPECT_EQ(reader.read<std::string>("/x").values, (Texts{"", ""}));
  EXPECT_EQ(refusal_of([&] { static_cast<void>(reader.read<double>("/x")); }),
            name + ": dataset '/x' holds text, expected float64");
}

TEST(RunFileText, RefusesALengthThatDoesNotFitTheType) {
  const TemporaryFolder folder;
  const std::string name = (folder / "run.h5").string();
  const auto create = [&](ElementType type, int64_t text_bytes) {
    return refusal_of<std::invalid_argument>([&] {
      RunFileWriter::create(name, example_info(), {{"/x", type, {0}, "1", "x", text_bytes}});
    });
  };
  EXPECT_EQ(create(ElementType::text, 0),
            name + ": dataset '/x' holds text and has text_bytes 0, expected 1 to 1048576");
  EXPECT_THAT(create(ElementType::text, -1), HasSubstr("text_bytes -1, expected 1 to"));
  EXPECT_THAT(create(ElementType::text, (1 << 20) + 1), HasSubstr("text_bytes 1048577, expected 1 to"));
  EXPECT_EQ(create(ElementType::int64, 8), name + ": dataset '/x' holds int64 and has text_bytes 8, expected 0");
  EXPECT_TRUE(folder.names().empty());
}

TEST(RunFileText, AcceptsTextsAsLongAsAChunk) {
  const TemporaryFolder folder;
  const Texts texts = {std::string(1 << 20, 'x'), "short", std::string((1 << 20) - 1, 'y')};
  write_texts(folder / "run.h5", status_dataset(1 << 20), texts);
  EXPECT_EQ(RunFileReader(folder / "run.h5").read<std::string>("/sweep/status").values, texts);
}

TEST(RunFileText, IsListedWithItsLength) {
  const TemporaryFolder folder;
  const std::vector<DatasetSpec> datasets = {
      {"/sweep/lr", ElementType::float64, {0}, "1", "learning rate"},
      {"/sweep/run_file", ElementType::text, {0, 2}, "1", "file of each run", 200},
      status_dataset(8),
  };
  RunFileWriter::create(folder / "run.h5", example_info(), datasets).finish();
  const RunFileReader reader(folder / "run.h5");
  EXPECT_EQ(reader.datasets(), datasets);
  EXPECT_EQ(reader.describe("/sweep/status"), status_dataset(8));
  EXPECT_EQ(experiments::element_type_name(reader.describe("/sweep/status").type), "text");
}

TEST(RunFileText, ReadsTheOtherKindsOfStringsThatToolsWrite) {
  const TemporaryFolder folder;
  const fs::path path = folder / "run.h5";
  RunFileWriter::create(path, example_info(), {}).finish();
  const Hdf5Handle variable(H5Tcopy(H5T_C_S1), H5Tclose);
  ASSERT_GE(H5Tset_size(variable.get(), H5T_VARIABLE), 0);
  ASSERT_GE(H5Tset_cset(variable.get(), H5T_CSET_UTF8), 0);
  const std::array<const char*, 3> texts = {"stable", "", "a longer text than any \xce\xbb"};
  add_foreign_texts(path, "/variable", variable.get(), texts.size(), static_cast<const void*>(texts.data()));
  add_foreign_texts(path, "/unwritten", variable.get(), 2, nullptr);
  const Hdf5Handle fortran(H5Tcopy(H5T_FORTRAN_S1), H5Tclose);
  ASSERT_GE(H5Tset_size(fortran.get(), 4), 0);
  add_foreign_texts(path, "/spaces", fortran.get(), 3, "ab  full    ");
  const Hdf5Handle terminated(H5Tcopy(H5T_C_S1), H5Tclose);
  ASSERT_GE(H5Tset_size(terminated.get(), 4), 0);
  add_foreign_texts(path, "/terminated", terminated.get(), 2, "ab\0?cd \0");

  const RunFileReader reader(path);
  EXPECT_EQ(reader.read<std::string>("/variable").values, Texts(texts.begin(), texts.end()));
  EXPECT_EQ(reader.read_rows<std::string>("/variable", 1, 2).values, Texts(texts.begin() + 1, texts.end()));
  EXPECT_EQ(reader.read<std::string>("/unwritten").values, (Texts{"", ""}));
  EXPECT_EQ(reader.read<std::string>("/spaces").values, (Texts{"ab", "full", ""}));
  EXPECT_EQ(reader.read<std::string>("/terminated").values, (Texts{"ab", "cd "}));
  EXPECT_EQ(reader.describe("/variable").text_bytes, 0);
  EXPECT_EQ(reader.describe("/spaces").text_bytes, 4);
  EXPECT_EQ(reader.datasets().size(), 4U);
}

TEST(RunFileText, DoesNotAllocateTheSizeThatADamagedShapeClaims) {
  const TemporaryFolder folder;
  write_texts(folder / "run.h5", status_dataset(1000), {"stable"});
  {
    const Hdf5Handle file(H5Fopen((folder / "run.h5").c_str(), H5F_ACC_RDWR, H5P_DEFAULT), H5Fclose);
    const Hdf5Handle dataset(H5Dopen2(file.get(), "/sweep/status", H5P_DEFAULT), H5Dclose);
    const hsize_t claimed = hsize_t{1} << 22;  // 4 GiB of texts
    ASSERT_GE(H5Dset_extent(dataset.get(), &claimed), 0);
  }
  const RunFileReader reader(folder / "run.h5");
  EXPECT_THAT(refusal_of([&] { static_cast<void>(reader.read<std::string>("/sweep/status")); }),
              HasSubstr("is damaged"));
  EXPECT_EQ(reader.read_rows<std::string>("/sweep/status", 0, 2).values, (Texts{"stable", ""}));
}

TEST(RunFileText, IsSeenByAReaderThatFollowsTheWriter) {
  const TemporaryFolder folder;
  const fs::path path = folder / "run.h5";
  constexpr int64_t rows = 2000;
  const auto text_of = [](int64_t row) { return "runs/run-" + std::to_string(row) + ".h5"; };
  auto first = RunFileWriter::create(path, example_info(), {status_dataset(24)});
  RunFileReader reader(path);
  EXPECT_TRUE(reader.read<std::string>("/sweep/status").values.empty());
  first.append("/sweep/status", Texts{text_of(0)});
  first.flush();
  reader.refresh();
  EXPECT_EQ(reader.read<std::string>("/sweep/status").values, Texts{text_of(0)});
  first.finish();

  // Repeats this across processes, while the rows of many chunks are written.
  const auto writer = start([&](int progress) {
    auto run = RunFileWriter::create(path, example_info(), {status_dataset(24)}, true);
    report(progress, 'c');
    for (int64_t row = 0; row < rows; ++row) {
      run.append("/sweep/status", Texts{text_of(row)});
      run.flush();
    }
    run.finish();
    report(progress, 'f');
  });
  char created = 0;
  ASSERT_EQ(::read(writer.progress, &created, 1), 1);
  for (bool finished = false; !finished;) {
    reader.refresh();
    finished = reader.finished();
    const auto texts = reader.read<std::string>("/sweep/status").values;
    for (size_t row = 0; row < texts.size(); ++row) {
      // The last row may be visible before it is written.
      ASSERT_TRUE(texts[row] == text_of(static_cast<int64_t>(row)) ||
                  (texts[row].empty() && row + 1 == texts.size() && !finished))
          << "row " << row << " of " << texts.size() << " holds '" << texts[row] << "'";
    }
    ASSERT_TRUE(!finished || texts.size() == rows);
  }
  EXPECT_TRUE(wait_for(writer).finished);
}

TEST(RunFileText, IsReadByOrdinaryTools) {
  if (!has_program("h5dump")) {
    GTEST_SKIP() << "h5dump is not installed";
  }
  const TemporaryFolder folder;
  write_texts(folder / "run.h5", status_dataset(8), {"stable", "diverged"});
  const auto dump = run_command("h5dump -d /sweep/status " + (folder / "run.h5").string());
  EXPECT_EQ(dump.status, 0) << dump.output;
  EXPECT_THAT(dump.output, HasSubstr("\"diverged\""));
  EXPECT_THAT(dump.output, HasSubstr("\"stable"));
  EXPECT_THAT(dump.output, HasSubstr("H5T_CSET_UTF8"));
}

}  // namespace
}  // namespace hessian::tests
