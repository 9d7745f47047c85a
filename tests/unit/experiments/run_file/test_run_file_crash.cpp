// Tests that a run file survives the death of its writer, which is killed at random moments, at every system call, and
// in the middle of a write.

#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/user.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <csignal>
#include <functional>
#include <optional>
#include <random>
#include <thread>

#include "child_process.h"
#include "run_file_support.h"

namespace hessian::tests {
namespace {

namespace fs = std::filesystem;
using experiments::ElementType;
using experiments::RunFileReader;
using experiments::RunFileWriter;
using hessian::tests::Child;
using hessian::tests::example_info;
using hessian::tests::has_program;
using hessian::tests::Progress;
using hessian::tests::report;
using hessian::tests::run_command;
using hessian::tests::start;
using hessian::tests::TemporaryFolder;
using hessian::tests::wait_for;

constexpr int64_t row_width = 3;
const std::vector<double> known_at_the_start = {1.5, 2.5, 3.5, 4.5};

double expected_value(int64_t row, int64_t column) {
  return static_cast<double>(10 * row + column);
}

std::string expected_text(int64_t row) {
  return "\xce\xbb = " + std::to_string(row);
}

void append_row(RunFileWriter& writer, int64_t row) {
  std::vector<double> values;
  for (int64_t column = 0; column < row_width; ++column) {
    values.push_back(expected_value(row, column));
  }
  writer.append("/train/step", std::span(&row, 1));
  writer.append("/train/loss", values);
  writer.append("/train/name", std::vector<std::string>{expected_text(row)});
}

/// Creates a run file with initial contents, appends and flushes rows, appends `pending` more without a flush, and
/// finishes; reports each step once it is done.
void write_run(const fs::path& path, int64_t rows, int progress, int64_t pending = 0) {
  report(progress, 's');
  auto writer = RunFileWriter::create(path, example_info(),
                                      {{"/train/step", ElementType::int64, {0}, "steps", "training step"},
                                       {"/train/loss", ElementType::float64, {0, row_width}, "nats", "training loss"},
                                       {"/train/name", ElementType::text, {0}, "1", "name of each row", 16},
                                       {"/probe/loss", ElementType::float64, {1, 4}, "nats", "loss of each sequence"}},
                                      true, [](RunFileWriter& created) {
                                        created.write("/probe/loss", {0, 0}, {1, 4}, known_at_the_start);
                                      });
  report(progress, 'c');
  for (int64_t row = 0; row < rows; ++row) {
    append_row(writer, row);
    writer.flush();
    report(progress, 'r');
  }
  for (int64_t row = rows; row < rows + pending; ++row) {
    append_row(writer, row);
  }
  writer.set_peak_memory_bytes(1);
  writer.finish();
  report(progress, 'f');
}

/// Checks that the flushed rows are there and right; later rows may be there, but must not be wrong.
void check_rows(const RunFileReader& reader, int64_t rows_flushed) {
  const auto steps = reader.read<int64_t>("/train/step").values;
  const auto losses = reader.read<double>("/train/loss").values;
  ASSERT_GE(static_cast<int64_t>(steps.size()), rows_flushed);
  const auto names = reader.read<std::string>("/train/name").values;
  ASSERT_GE(static_cast<int64_t>(losses.size()), rows_flushed * row_width);
  ASSERT_GE(static_cast<int64_t>(names.size()), rows_flushed);
  for (int64_t row = 0; row < static_cast<int64_t>(steps.size()); ++row) {
    const int64_t step = steps[static_cast<size_t>(row)];
    ASSERT_TRUE(step == row || (step == -1 && row >= rows_flushed)) << "row " << row << " holds step " << step;
  }
  for (int64_t i = 0; i < static_cast<int64_t>(losses.size()); ++i) {
    const double loss = losses[static_cast<size_t>(i)];
    ASSERT_TRUE(loss == expected_value(i / row_width, i % row_width) ||
                (std::isnan(loss) && i >= rows_flushed * row_width))
        << "entry " << i << " holds loss " << loss;
  }
  for (int64_t row = 0; row < static_cast<int64_t>(names.size()); ++row) {
    const std::string& name = names[static_cast<size_t>(row)];
    ASSERT_TRUE(name == expected_text(row) || (name.empty() && row >= rows_flushed))
        << "row " << row << " holds name " << name;
  }
}

/// Checks the file that a killed writer left.
/// \param all_rows  rows that a finished file has, whether or not they were flushed before finish(); 0: unknown
void check_file(const fs::path& path, const Progress& progress, int64_t all_rows = 0) {
  if (!fs::exists(path)) {
    EXPECT_FALSE(progress.created);
    return;
  }
  try {
    const RunFileReader reader(path);
    EXPECT_EQ(reader.info(), example_info());
    EXPECT_EQ(reader.datasets().size(), 4U);
    EXPECT_EQ(reader.read<double>("/probe/loss").values, known_at_the_start);
    check_rows(reader, reader.finished() ? std::max(all_rows, progress.rows_flushed) : progress.rows_flushed);
    if (progress.finished) {
      EXPECT_TRUE(reader.finished());
    }
  } catch (const std::exception& error) {
    ADD_FAILURE() << error.what();
  }
}

/// Reads the file as docs/file-format.md recommends to users of other tools.
void check_with_plain_tools(const fs::path& path, const Progress& progress, int64_t all_rows = 0) {
  const auto clear = run_command("h5clear -s --increment=0 " + path.string());
  EXPECT_EQ(clear.status, 0) << clear.output;
  const auto dump = run_command("h5dump -d /train/step " + path.string());
  EXPECT_EQ(dump.status, 0) << dump.output;
  if (progress.rows_flushed > 0) {
    EXPECT_THAT(dump.output, ::testing::ContainsRegex("[ ,]" + std::to_string(progress.rows_flushed - 1) + "[,\n]"));
  }
  check_file(path, progress, all_rows);
}

/// Starts `action` 50 times and kills it after up to `longest`.
void kill_at_random(unsigned seed, std::chrono::microseconds longest,
                    const std::function<void(const fs::path&, int)>& action) {
  std::printf("  seed %u\n", seed);
  std::mt19937 random(seed);
  std::uniform_int_distribution<int64_t> delay(0, longest.count());
  int64_t rows = 0;
  int files = 0;
  for (int trial = 0; trial < 50; ++trial) {
    const TemporaryFolder folder;
    const fs::path path = folder / "run.h5";
    const Child child = start([&](int progress) { action(path, progress); });
    std::this_thread::sleep_for(std::chrono::microseconds(delay(random)));
    ::kill(child.process, SIGKILL);
    const Progress progress = wait_for(child);
    rows += progress.rows_flushed;
    files += fs::exists(path) ? 1 : 0;
    check_file(path, progress);
    // The next writer removes the temporary file of the killed one.
    RunFileWriter::create(path, example_info(), {}, true).finish();
    EXPECT_EQ(folder.names(), std::vector<std::string>{"run.h5"});
    ASSERT_FALSE(::testing::Test::HasFailure()) << "seed " << seed << ", trial " << trial;
  }
  std::printf("  %d of 50 left a file, %ld rows in all\n", files, static_cast<long>(rows));
}

TEST(RunFileCrash, KilledWhileWritingKeepsEveryRowFlushed) {
  kill_at_random(std::random_device()(), std::chrono::milliseconds(60),
                 [](const fs::path& path, int progress) { write_run(path, 1'000'000, progress); });
}

TEST(RunFileCrash, KilledWhileCreatingOrFinishingLeavesNoFileOrOneThatOpens) {
  kill_at_random(std::random_device()(), std::chrono::milliseconds(20), [](const fs::path& path, int progress) {
    while (true) {
      write_run(path, 2, progress);
    }
  });
}

TEST(RunFileCrash, KilledWriterLeavesAFileThatPlainToolsReadOnceItsMarkIsCleared) {
  if (!has_program("h5dump") || !has_program("h5clear")) {
    GTEST_SKIP() << "h5dump and h5clear are not installed";
  }
  const TemporaryFolder folder;
  const fs::path path = folder / "run.h5";
  const Child child = start([&](int progress) {
    write_run(path, 500, progress);
    ::pause();
  });
  while (!fs::exists(path)) {
    std::this_thread::sleep_for(std::chrono::microseconds(100));
  }
  std::this_thread::sleep_for(std::chrono::milliseconds(3));
  ::kill(child.process, SIGKILL);
  check_with_plain_tools(path, wait_for(child));
}

TEST(RunFileCrash, TwoReadersFollowARunningWriterToItsEnd) {
  constexpr int64_t rows = 3000;
  const TemporaryFolder folder;
  const fs::path path = folder / "run.h5";
  const Child writer = start([&](int progress) { write_run(path, rows, progress); });
  while (!fs::exists(path)) {
    std::this_thread::sleep_for(std::chrono::microseconds(100));
  }
  std::vector<Child> readers;
  for (int i = 0; i < 2; ++i) {
    readers.push_back(start([&](int progress) {
      RunFileReader reader(path);
      int64_t seen = 0;
      for (bool finished = false; !finished; reader.refresh()) {
        finished = reader.finished();
        check_rows(reader, seen);
        // Between two flushes one dataset may be a row ahead of the other.
        seen = std::min({reader.describe("/train/step").shape[0], reader.describe("/train/loss").shape[0],
                         reader.describe("/train/name").shape[0]});
        report(progress, 'r');
      }
      report(progress, seen == rows && !::testing::Test::HasFailure() ? 'f' : 'x');
    }));
  }
  EXPECT_TRUE(wait_for(writer).finished);
  for (const Child& reader : readers) {
    const Progress progress = wait_for(reader);
    EXPECT_TRUE(progress.finished) << "a reader failed, or missed rows of a finished file";
    std::printf("  a reader looked %ld times\n", static_cast<long>(progress.rows_flushed));
  }
}

constexpr int64_t traced_flushed_rows = 3;
constexpr int64_t traced_pending_rows = 2;

// The moment at which a traced child is killed: before or after its n-th system call, or after its n-th write was cut
// at the end of a page, where the kernel may stop a write on SIGKILL.
enum class End { at_system_call, in_the_middle_of_a_write };

#ifdef __x86_64__
/// If the child is about to write across the end of a page, shortens the write to end there.
bool cut_write(pid_t child) {
  constexpr uint64_t page = 4096;
  user_regs_struct registers{};
  if (::ptrace(PTRACE_GETREGS, child, nullptr, &registers) != 0 || registers.orig_rax != SYS_pwrite64 ||
      registers.rax != static_cast<unsigned long long>(-ENOSYS)) {  // -ENOSYS: at the entry
    return false;
  }
  const uint64_t room = page - registers.r10 % page;
  if (registers.rdx <= room) {
    return false;
  }
  registers.rdx = room;
  return ::ptrace(PTRACE_SETREGS, child, nullptr, &registers) == 0;
}
#else
bool cut_write(pid_t) {
  return false;
}
#endif

/// Kills the child at its n-th occasion; returns nothing if it exited before, or cannot be traced.
std::optional<Progress> kill_at(End end, int64_t n, const fs::path& path, bool* traced) {
  const Child child = start([&](int progress) {
    if (::ptrace(PTRACE_TRACEME, 0, nullptr, nullptr) != 0) {
      return;
    }
    ::raise(SIGSTOP);
    write_run(path, traced_flushed_rows, progress, traced_pending_rows);
  });
  int status = 0;
  ::waitpid(child.process, &status, 0);
  *traced = WIFSTOPPED(status);
  for (int64_t occasion = 0; WIFSTOPPED(status);) {
    const bool cut = end == End::in_the_middle_of_a_write && cut_write(child.process);
    if (end == End::at_system_call || cut) {
      if (occasion++ == n) {
        if (cut) {  // let the shortened write happen
          ::ptrace(PTRACE_SYSCALL, child.process, nullptr, nullptr);
          ::waitpid(child.process, &status, 0);
        }
        ::kill(child.process, SIGKILL);
        return wait_for(child);
      }
    }
    ::ptrace(PTRACE_SYSCALL, child.process, nullptr, nullptr);
    ::waitpid(child.process, &status, 0);
  }
  ::close(child.progress);
  return std::nullopt;
}

void kill_at_every(End end, int64_t stride) {
  const bool tools = has_program("h5dump") && has_program("h5clear");
  int64_t n = 0;
  int files = 0;
  for (;; n += stride) {
    const TemporaryFolder folder;
    bool traced = false;
    const auto progress = kill_at(end, n, folder / "run.h5", &traced);
    if (!traced) {
      GTEST_SKIP() << "no tracing of processes here";
    }
    if (!progress) {
      break;
    }
    constexpr int64_t all_rows = traced_flushed_rows + traced_pending_rows;
    check_file(folder / "run.h5", *progress, all_rows);
    if (fs::exists(folder / "run.h5") && ++files % 10 == 0 && tools) {
      check_with_plain_tools(folder / "run.h5", *progress, all_rows);
    }
    ASSERT_FALSE(::testing::Test::HasFailure()) << "killed at occasion " << n;
  }
  std::printf("  %ld occasions, one in %ld tried, %d left a file\n", static_cast<long>(n), static_cast<long>(stride),
              files);
  EXPECT_GT(n, end == End::at_system_call ? 100 : 0);
}

TEST(RunFileCrash, KilledAtAnySystemCallLeavesNoFileOrOneThatHoldsEveryRowFlushedAndAllRowsIfItIsFinished) {
  kill_at_every(End::at_system_call, 1);
}

TEST(RunFileCrash, KilledInTheMiddleOfAnyWriteLeavesNoFileOrOneThatHoldsEveryRowFlushedAndAllRowsIfItIsFinished) {
#ifndef __x86_64__
  GTEST_SKIP() << "system calls are only changed on x86-64";
#endif
  kill_at_every(End::in_the_middle_of_a_write, 1);
}

}  // namespace
}  // namespace hessian::tests
