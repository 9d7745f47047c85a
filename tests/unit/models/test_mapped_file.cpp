#include <gtest/gtest.h>
#include <sys/stat.h>

#include "io/mapped_file.h"
#include "loader_support.h"
#include "refusal.h"

using hessian::models::MappedFile;
using hessian::support::refusal_of;
using hessian::support::TemporaryFolder;

TEST(MappedFile, ShowsTheBytesOfTheFile) {
  const TemporaryFolder folder;
  const auto file = MappedFile::open(folder.write("a.bin", "0123456789"));
  ASSERT_EQ(file->bytes().size(), 10U);
  EXPECT_EQ(file->bytes()[7], std::byte{'7'});
}

TEST(MappedFile, WritesToTheMappingDoNotReachTheFile) {
  const TemporaryFolder folder;
  const std::string path = folder.write("a.bin", "0123456789");
  const auto file = MappedFile::open(path);
  file->writable_bytes()[0] = std::byte{'x'};
  EXPECT_EQ(file->bytes()[0], std::byte{'x'});
  EXPECT_EQ(hessian::support::read_file(path), "0123456789");
}

TEST(MappedFile, KeepsTheOldBytesWhenTheFileIsReplaced) {
  const TemporaryFolder folder;
  const std::string path = folder.write("a.bin", "old");
  const auto file = MappedFile::open(path);
  std::filesystem::rename(folder.write("b.bin", "new"), path);
  EXPECT_EQ(file->bytes()[0], std::byte{'o'});
}

TEST(MappedFile, NamesAGitLfsPointer) {
  const TemporaryFolder folder;
  const std::string pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:4d4d\nsize 548105171\n";
  for (const std::string name : {"model.safetensors", "ckpt.pt", "config.json"}) {
    const std::string path = folder.write(name, pointer);
    EXPECT_EQ(refusal_of([&] { MappedFile::open(path); }),
              path + ": is a Git LFS pointer, not the file itself; run `git lfs pull` in its folder");
  }
  // A text about pointers is none.
  EXPECT_NO_THROW(MappedFile::open(folder.write("notes.txt", pointer + std::string(2000, 'x'))));
}

TEST(MappedFile, SaysWhatIsWrongWithAPath) {
  const TemporaryFolder folder;
  const auto refusal = [](const std::string& path) { return refusal_of([&] { MappedFile::open(path); }); };
  const std::string absent = folder / "absent.bin";
  EXPECT_EQ(refusal(absent), absent + ": no such file");
  const std::string empty = folder.write("empty.bin", "");
  EXPECT_EQ(refusal(empty), empty + ": is empty");
  EXPECT_EQ(refusal(folder.path()), folder.path() + ": is a directory, expected a file");
  const std::string pipe = folder / "pipe";
  ASSERT_EQ(::mkfifo(pipe.c_str(), 0600), 0);
  EXPECT_EQ(refusal(pipe), pipe + ": is not a regular file; pipes and devices are not supported");
}

TEST(MappedFile, SaysThatAFileMayNotBeRead) {
  if (::geteuid() == 0) {
    GTEST_SKIP() << "root may read every file";
  }
  const TemporaryFolder folder;
  const std::string path = folder.write("secret.bin", "0123");
  ASSERT_EQ(::chmod(path.c_str(), 0), 0);
  EXPECT_EQ(refusal_of([&] { MappedFile::open(path); }), path + ": Permission denied");
}
