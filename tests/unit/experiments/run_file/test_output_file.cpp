#include "run_file/output_file.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/resource.h>

#include <cmath>
#include <csignal>
#include <functional>

#include "refusal.h"
#include "run_file_support.h"

namespace hessian::tests {
namespace {

namespace fs = std::filesystem;
using experiments::AtomicFile;
using experiments::ElementType;
using experiments::ensure_writable_output;
using experiments::RunFileReader;
using experiments::RunFileWriter;
using hessian::support::refusal_of;
using hessian::tests::example_info;
using hessian::tests::is_one_line_about;
using hessian::tests::read_text_file;
using hessian::tests::TemporaryFolder;
using hessian::tests::write_text_file;
using ::testing::HasSubstr;

std::string refusal(const fs::path& path, bool overwrite = false) {
  const std::string message = refusal_of([&] { ensure_writable_output(path, overwrite); });
  EXPECT_TRUE(is_one_line_about(message, path));
  // The writer itself must refuse the same, with the same message.
  EXPECT_EQ(refusal_of([&] { RunFileWriter::create(path, example_info(), {}, overwrite); }), message);
  return message;
}

TEST(OutputFile, RefusesToReplaceAFileUnlessRequested) {
  const TemporaryFolder folder;
  write_text_file(folder / "run.h5", "precious");
  EXPECT_EQ(refusal(folder / "run.h5"),
            (folder / "run.h5").string() + ": already exists; use --overwrite to replace it");
  EXPECT_EQ(read_text_file(folder / "run.h5"), "precious");
  ensure_writable_output(folder / "run.h5", true);
  EXPECT_EQ(read_text_file(folder / "run.h5"), "precious");
  RunFileWriter::create(folder / "run.h5", example_info(), {}, true).finish();
  EXPECT_TRUE(RunFileReader(folder / "run.h5").finished());
  EXPECT_EQ(folder.names(), std::vector<std::string>{"run.h5"});
}

TEST(OutputFile, NeverReplacesAFileThatAppearsAfterTheCheck) {
  const TemporaryFolder folder;
  {
    AtomicFile output(folder / "run.h5", false);
    write_text_file(output.path(), "ours");
    write_text_file(folder / "run.h5", "theirs");
    EXPECT_EQ(refusal_of([&] { output.commit(); }),
              (folder / "run.h5").string() + ": already exists; use --overwrite to replace it");
  }
  EXPECT_EQ(read_text_file(folder / "run.h5"), "theirs");
  EXPECT_EQ(folder.names(), std::vector<std::string>{"run.h5"});
}

TEST(OutputFile, LetsReadersOfAReplacedFileKeepIt) {
  const TemporaryFolder folder;
  const double loss = 1.0;
  auto first = RunFileWriter::create(folder / "run.h5", example_info(), {{"/x", ElementType::float64, {0}, "1", "x"}});
  first.append("/x", std::span(&loss, 1));
  first.flush();
  RunFileReader reader(folder / "run.h5");
  auto second =
      RunFileWriter::create(folder / "run.h5", example_info(), {{"/y", ElementType::float64, {0}, "1", "y"}}, true);
  EXPECT_EQ(reader.read<double>("/x").values, std::vector<double>{loss});
  first.append("/x", std::span(&loss, 1));
  first.finish();
  reader.refresh();
  EXPECT_TRUE(reader.contains("/y"));
  EXPECT_FALSE(reader.finished());
  second.finish();
}

TEST(OutputFile, NamesTheObstacle) {
  const TemporaryFolder folder;
  write_text_file(folder / "file.txt", "text");
  fs::create_directory(folder / "sub");
  fs::create_symlink(folder / "nowhere", folder / "dangling.h5");
  EXPECT_THAT(refusal(folder / "absent" / "run.h5"), HasSubstr("/absent' does not exist; make it first"));
  EXPECT_THAT(refusal(folder / "file.txt" / "run.h5"), HasSubstr("/file.txt' is not a folder"));
  EXPECT_THAT(refusal(folder / "sub"), HasSubstr("is a folder; expected the name of a file"));
  EXPECT_THAT(refusal(folder / "sub", true), HasSubstr("is a folder"));
  EXPECT_THAT(refusal(folder / "sub/"), HasSubstr("is the name of a folder; expected that of a file"));
  EXPECT_THAT(refusal(""), HasSubstr("is not the name of a file"));
  EXPECT_THAT(refusal("/dev/null", true), HasSubstr("is not a regular file"));
  EXPECT_THAT(refusal(folder / "dangling.h5", true), HasSubstr("is not a regular file"));
  EXPECT_THAT(refusal("/proc/run.h5"), HasSubstr("folder '/proc' takes no new file"));
  EXPECT_THAT(refusal(folder / std::string(300, 'x')), HasSubstr("name is too long"));
  EXPECT_EQ(folder.names().size(), 3U);
}

TEST(OutputFile, AcceptsABareNameInTheWorkingFolderAndLeavesNoOtherFile) {
  const TemporaryFolder folder;
  const fs::path before = fs::current_path();
  fs::current_path(folder.path());
  ensure_writable_output("run.h5", false);
  EXPECT_TRUE(folder.names().empty());
  auto writer = RunFileWriter::create("run.h5", example_info(), {});
  RunFileReader reader("run.h5");
  fs::current_path(before);  // neither looks for its file in the new folder
  writer.finish();
  reader.refresh();
  EXPECT_TRUE(reader.finished());
}

TEST(OutputFile, WritesThroughSymbolicLinks) {
  const TemporaryFolder folder;
  fs::create_directory(folder / "disk");
  write_text_file(folder / "disk" / "real.h5", "old");
  fs::create_symlink(folder / "disk" / "real.h5", folder / "run.h5");
  RunFileWriter::create(folder / "run.h5", example_info(), {}, true).finish();
  EXPECT_TRUE(fs::is_symlink(folder / "run.h5"));
  EXPECT_TRUE(RunFileReader(folder / "disk" / "real.h5").finished());
}

TEST(OutputFile, SaysThatAFolderIsReadOnly) {
  if (::geteuid() == 0) {
    GTEST_SKIP() << "root may write to any folder";
  }
  const TemporaryFolder folder;
  fs::permissions(folder.path(), fs::perms::owner_read | fs::perms::owner_exec);
  EXPECT_THAT(refusal(folder / "run.h5"), HasSubstr("takes no new file: Permission denied; write elsewhere"));
  fs::permissions(folder.path(), fs::perms::owner_all);
}

TEST(OutputFile, RemovesTemporaryFilesOfDeadWritersOfTheSameFile) {
  const pid_t dead = ::fork();
  if (dead == 0) {
    ::_exit(0);
  }
  ASSERT_EQ(::waitpid(dead, nullptr, 0), dead);
  const TemporaryFolder folder;
  const AtomicFile alive(folder / "run.h5", false);  // before the others, since it removes what dead writers left
  const auto temporary = [&](const std::string& name, pid_t process) {
    const fs::path path = folder / ("." + name + ".partial-" + std::to_string(process) + "-0");
    write_text_file(path, "left over");
    return path;
  };
  const fs::path stale = temporary("run.h5", dead);
  const fs::path reused = temporary("run.h5", ::getppid());  // a living process now has the number of a dead one
  const fs::path other = temporary("other.h5", dead);
  const fs::path unrelated = folder / ".run.h5.partial-notes";
  write_text_file(unrelated, "mine");
  // A live writer in another container: its number has no meaning here, but its file is locked.
  const fs::path locked = folder / (".run.h5.partial-" + std::to_string(dead) + "-1");
  write_text_file(locked, "being made");
  const int descriptor = ::open(locked.c_str(), O_RDWR | O_CLOEXEC);
  struct flock whole_file {};
  whole_file.l_type = F_WRLCK;
  whole_file.l_whence = SEEK_SET;
  ASSERT_EQ(::fcntl(descriptor, F_OFD_SETLK, &whole_file), 0);

  ensure_writable_output(folder / "run.h5", false);
  EXPECT_FALSE(fs::exists(stale));
  EXPECT_FALSE(fs::exists(reused));
  EXPECT_TRUE(fs::exists(alive.path()));
  EXPECT_TRUE(fs::exists(other));
  EXPECT_TRUE(fs::exists(unrelated));
  EXPECT_TRUE(fs::exists(locked));
  ::close(descriptor);
}

/// The exit status and the output of a child process.
struct ChildResult {
  int status = -1;     // as of waitpid
  std::string output;  // stdout and stderr
};

/// Runs `action` in a child process that exits normally, with exit handlers.
ChildResult run_in_child(const std::function<void()>& action) {
  std::array<int, 2> output{};
  EXPECT_EQ(::pipe(output.data()), 0);
  std::fflush(nullptr);
  const pid_t child = ::fork();
  if (child == 0) {
    ::dup2(output[1], STDOUT_FILENO);
    ::dup2(output[1], STDERR_FILENO);
    ::close(output[0]);
    action();
    std::exit(0);
  }
  ::close(output[1]);
  ChildResult result;
  std::array<char, 4096> buffer{};
  for (ssize_t count = 0; (count = ::read(output[0], buffer.data(), buffer.size())) > 0;) {
    result.output.append(buffer.data(), static_cast<size_t>(count));
  }
  ::close(output[0]);
  ::waitpid(child, &result.status, 0);
  return result;
}

/// Appends and flushes rows until that fails; prints the number of rows flushed and the message.
void write_until_full(const fs::path& path) {
  int64_t flushed = 0;
  const std::string message = refusal_of([&] {
    auto writer = RunFileWriter::create(path, example_info(),
                                        {{"/train/step", ElementType::int64, {0}, "steps", "training step"},
                                         {"/train/loss", ElementType::float64, {0}, "nats", "training loss"}});
    const std::string failure = refusal_of([&] {
      for (std::vector<int64_t> steps(1000); flushed < 1'000'000;) {
        for (int64_t& step : steps) {
          step = flushed + (&step - steps.data());
        }
        writer.append("/train/step", steps);
        writer.append("/train/loss", std::vector<double>(steps.begin(), steps.end()));
        writer.flush();
        flushed += 1000;
      }
    });
    const std::string later = refusal_of([&] { writer.flush(); });
    const std::string last = refusal_of([&] { writer.finish(); });
    if (later != path.string() + ": an earlier write failed, nothing more can be written to it" || last != later) {
      throw std::runtime_error("after a failure: " + later);
    }
    throw std::runtime_error(failure);
  });
  std::printf("%ld %s", static_cast<long>(flushed), message.c_str());
}

void check_full(const ChildResult& result, const fs::path& path, const std::string& reason) {
  EXPECT_EQ(result.status, 0) << result.output;
  char* rest = nullptr;
  const long flushed = std::strtol(result.output.c_str(), &rest, 10);
  const std::string message = *rest == ' ' ? rest + 1 : rest;
  EXPECT_TRUE(is_one_line_about(message, path));
  EXPECT_THAT(message, HasSubstr(reason));
  if (!fs::exists(path)) {
    EXPECT_EQ(flushed, 0);
    return;
  }
  const RunFileReader reader(path);
  EXPECT_FALSE(reader.finished());
  const auto steps = reader.read<int64_t>("/train/step").values;
  const auto losses = reader.read<double>("/train/loss").values;
  ASSERT_GE(steps.size(), static_cast<size_t>(flushed));
  ASSERT_GE(losses.size(), static_cast<size_t>(flushed));
  // Later rows may or may not be there, but must not be wrong.
  for (size_t i = 0; i < steps.size(); ++i) {
    ASSERT_TRUE(steps[i] == static_cast<int64_t>(i) || (steps[i] == -1 && i >= static_cast<size_t>(flushed))) << i;
  }
  for (size_t i = 0; i < losses.size(); ++i) {
    ASSERT_TRUE(losses[i] == static_cast<double>(i) || (std::isnan(losses[i]) && i >= static_cast<size_t>(flushed)))
        << i;
  }
}

TEST(FullDisk, AFileSizeLimitGivesOneClearLineAndKeepsFlushedRows) {
  for (rlim_t limit = 0; limit < 400'000; limit += limit < 40'000 ? 2'000 : 41'000) {
    const TemporaryFolder folder;
    const fs::path path = folder / "run.h5";
    const auto result = run_in_child([&] {
      ::signal(SIGXFSZ, SIG_IGN);
      const rlimit new_limit{limit, limit};
      ::setrlimit(RLIMIT_FSIZE, &new_limit);
      write_until_full(path);
    });
    check_full(result, path, "File too large; raise the limit on file sizes (ulimit -f) or write elsewhere");
    ASSERT_FALSE(HasFailure()) << "limit " << limit << ", output: " << result.output;
  }
}

TEST(FullDisk, GivesOneClearLineAndKeepsFlushedRows) {
  const TemporaryFolder folder;
  for (int kibibytes = 4; kibibytes <= 400; kibibytes += kibibytes < 64 ? 4 : 44) {
    const fs::path disk = folder / ("disk-" + std::to_string(kibibytes));
    fs::create_directory(disk);
    const std::string size = "size=" + std::to_string(kibibytes) + "k";
    if (::mount("tmpfs", disk.c_str(), "tmpfs", 0, size.c_str()) != 0) {
      GTEST_SKIP() << "no small file system can be mounted here (needs root)";
    }
    const auto result = run_in_child([&] { write_until_full(disk / "run.h5"); });
    check_full(result, disk / "run.h5", "No space left on device; free some space or write elsewhere");
    for (const auto& entry : fs::directory_iterator(disk)) {
      EXPECT_EQ(entry.path().filename(), "run.h5");
    }
    ::umount2(disk.c_str(), MNT_DETACH);
    ASSERT_FALSE(HasFailure()) << size << ", output: " << result.output;
  }
}

TEST(FullDisk, AWriterDestroyedWithUnwrittenRowsIsSilentAndKeepsFlushedRows) {
  for (rlim_t limit = 60'000; limit < 200'000; limit += 10'000) {
    const TemporaryFolder folder;
    const fs::path path = folder / "run.h5";
    const auto result = run_in_child([&] {
      ::signal(SIGXFSZ, SIG_IGN);
      auto writer =
          RunFileWriter::create(path, example_info(), {{"/x", ElementType::float64, {0}, "1", "an appended number"}});
      writer.append("/x", std::vector<double>(10, 1.0));
      writer.flush();
      const rlimit new_limit{limit, limit};
      ::setrlimit(RLIMIT_FSIZE, &new_limit);
      writer.append("/x", std::vector<double>(30'000, 2.0));  // held back in HDF5's chunk cache
    });
    EXPECT_EQ(result.status, 0);
    EXPECT_EQ(result.output, "");
    const auto values = RunFileReader(path).read<double>("/x").values;
    ASSERT_GE(values.size(), 10U);
    for (size_t i = 0; i < values.size(); ++i) {
      ASSERT_TRUE(values[i] == (i < 10 ? 1.0 : 2.0) || (i >= 10 && std::isnan(values[i]))) << i << ", limit " << limit;
    }
  }
}

TEST(FullDisk, AReadOnlyFileSystemGivesOneClearLine) {
  const TemporaryFolder folder;
  fs::create_directory(folder / "disk");
  if (::mount("tmpfs", (folder / "disk").c_str(), "tmpfs", MS_RDONLY, "size=64k") != 0) {
    GTEST_SKIP() << "no read-only file system can be mounted here (needs root)";
  }
  EXPECT_THAT(refusal(folder / "disk" / "run.h5"), HasSubstr("Read-only file system; write elsewhere"));
  ::umount2((folder / "disk").c_str(), MNT_DETACH);
}

}  // namespace
}  // namespace hessian::tests
