#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>

#include "io/atomic_file.h"
#include "loader_support.h"
#include "refusal.h"

using hessian::models::AtomicFile;
using hessian::support::refusal_of;
using hessian::support::TemporaryFolder;

namespace hessian::tests {
namespace {

std::size_t files_in(const TemporaryFolder& folder) {
  const std::filesystem::directory_iterator entries(folder.path());
  return static_cast<std::size_t>(std::distance(begin(entries), end(entries)));
}

TEST(AtomicFile, AppearsOnCommitAndNotBefore) {
  const TemporaryFolder folder;
  const std::string path = folder.write("out.bin", "old");
  AtomicFile file(path);
  file.write(support::as_bytes("new "));
  file.write(support::as_bytes("contents"));
  EXPECT_EQ(support::read_file(path), "old");
  file.commit();
  EXPECT_EQ(support::read_file(path), "new contents");
  EXPECT_EQ(files_in(folder), 1U);
}

TEST(AtomicFile, LeavesNothingBehindWithoutACommit) {
  const TemporaryFolder folder;
  {
    AtomicFile file(folder / "out.bin");
    file.write(support::as_bytes("half"));
    EXPECT_EQ(files_in(folder), 1U);
  }
  EXPECT_EQ(files_in(folder), 0U);
}

TEST(AtomicFile, RemovesTheTemporaryFileOfAKilledWriter) {
  const TemporaryFolder folder;
  const std::string path = folder / "out.bin";
  const pid_t child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    AtomicFile file(path);
    file.write(support::as_bytes("much more than what is written next"));
    ::raise(SIGKILL);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFSIGNALED(status));
  EXPECT_EQ(files_in(folder), 1U);
  EXPECT_FALSE(std::filesystem::exists(path));
  AtomicFile file(path);
  file.write(support::as_bytes("new"));
  file.commit();
  EXPECT_EQ(support::read_file(path), "new");
  EXPECT_EQ(files_in(folder), 1U);
}

TEST(AtomicFile, TwoWritersDoNotDisturbEachOther) {
  const TemporaryFolder folder;
  const std::string path = folder / "out.bin";
  AtomicFile one(path);
  AtomicFile two(path);
  one.write(support::as_bytes("of the one"));
  two.write(support::as_bytes("of the two"));
  one.commit();
  EXPECT_EQ(support::read_file(path), "of the one");
  AtomicFile three(path);
  three.write(support::as_bytes("of the three"));
  two.commit();
  EXPECT_EQ(support::read_file(path), "of the two");
  three.commit();
  EXPECT_EQ(support::read_file(path), "of the three");
  EXPECT_EQ(files_in(folder), 1U);
}

TEST(AtomicFile, ReplacesOnlyIfRequested) {
  const TemporaryFolder folder;
  const std::string path = folder.write("out.bin", "old");
  const std::string refusal = path + ": already exists; use --overwrite to replace it";
  EXPECT_EQ(support::refusal_of([&] { const AtomicFile file(path, /*overwrite=*/false); }), refusal);
  const std::string fresh = folder / "fresh.bin";
  AtomicFile file(fresh, /*overwrite=*/false);
  std::filesystem::copy_file(path, fresh);
  EXPECT_EQ(support::refusal_of([&] { file.commit(); }), fresh + ": already exists; use --overwrite to replace it");
  EXPECT_EQ(support::read_file(fresh), "old");
}

TEST(AtomicFile, ReplacesTheTargetOfASymbolicLink) {
  const TemporaryFolder folder;
  const std::string path = folder.write("real.bin", "old");
  std::filesystem::create_symlink(path, folder / "link.bin");
  models::write_file(folder / "link.bin", "new");
  EXPECT_TRUE(std::filesystem::is_symlink(folder / "link.bin"));
  EXPECT_EQ(support::read_file(path), "new");
}

TEST(AtomicFile, RemovesStaleTemporaryFilesByPrefixUnlessTheyAreBeingWritten) {
  const TemporaryFolder folder;
  const AtomicFile alive(folder / "checkpoint-3.bin");
  folder.write(".checkpoint-1.bin.partial-12-0", "half");
  folder.write(".checkpoint-2.bin.partial-notes", "kept: no writer names a file so");
  folder.write(".other.bin.partial-12-0", "kept: another prefix");
  models::remove_half_written(folder.path(), "checkpoint-");
  EXPECT_FALSE(std::filesystem::exists(folder / ".checkpoint-1.bin.partial-12-0"));
  EXPECT_TRUE(std::filesystem::exists(alive.path()));
  EXPECT_EQ(files_in(folder), 3U);
}

TEST(AtomicFile, HasTheUsualPermissions) {
  const TemporaryFolder folder;
  const mode_t mask = ::umask(022);
  AtomicFile file(folder / "out.bin");
  file.commit();
  ::umask(mask);
  struct stat status {};
  ASSERT_EQ(::stat((folder / "out.bin").c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777U, 0644U);
}

TEST(AtomicFile, SaysWhatIsWrongWithAPath) {
  const TemporaryFolder folder;
  const auto refusal = [](const std::string& path) { return refusal_of([&] { const AtomicFile file(path); }); };
  const std::string nowhere = folder / "nowhere/out.bin";
  EXPECT_EQ(refusal(nowhere),
            nowhere + ": folder '" + (folder / "nowhere") + "' does not exist; make it first or write elsewhere");
  EXPECT_EQ(refusal(folder.path()), folder.path() + ": is a folder; expected the name of a file");
  EXPECT_EQ(refusal("/dev/null"), "/dev/null: exists and is not a regular file; choose another name");
  EXPECT_EQ(refusal(folder / "nowhere/"), (folder / "nowhere/") + ": is the name of a folder; expected that of a file");
}

// A limit on file sizes replaces a full disk: write() fails at the same point.
TEST(AtomicFile, KeepsTheOldFileWhenTheDiskIsFull) {
  const TemporaryFolder folder;
  const std::string path = folder.write("out.bin", "old");
  const auto old_handler = std::signal(SIGXFSZ, SIG_IGN);
  rlimit old_limit{};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &old_limit), 0);
  const rlimit small{1000, old_limit.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &small), 0);
  const std::string contents(5000, 'x');
  const std::string message = refusal_of([&] {
    AtomicFile file(path);
    file.write(support::as_bytes(contents));
    file.commit();
  });
  ::setrlimit(RLIMIT_FSIZE, &old_limit);
  (void)std::signal(SIGXFSZ, old_handler);
  EXPECT_EQ(
      message,
      path + ": cannot write 5000 bytes: File too large; raise the limit on file sizes (ulimit -f) or write elsewhere");
  EXPECT_EQ(support::read_file(path), "old");
  EXPECT_EQ(files_in(folder), 1U);
}

}  // namespace
}  // namespace hessian::tests
