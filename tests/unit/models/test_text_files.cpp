#include <gtest/gtest.h>
#include <zlib.h>

#include <filesystem>
#include <string>
#include <vector>

#include "loader_support.h"
#include "refusal.h"
#include "tokens/text_files.h"

using hessian::models::find_text_files;
using hessian::models::TextFile;
using hessian::support::refusal_about;
using hessian::support::TemporaryFolder;

namespace hessian::tests {
namespace {

std::string write_gzip(const TemporaryFolder& folder, const std::string& name, const std::string& text) {
  const gzFile file = ::gzopen((folder / name).c_str(), "wb");
  ::gzwrite(file, text.data(), static_cast<unsigned>(text.size()));
  ::gzclose(file);
  return folder / name;
}

std::vector<std::string> documents(const std::string& path) {
  const TextFile file = TextFile::open(path);
  return {file.documents().begin(), file.documents().end()};
}

std::string refusal(const std::string& path) {
  return refusal_about(path, [&] { TextFile::open(path); });
}

TEST(TextFiles, AreAFileOrTheFilesOfAFolderOrSeveral) {
  const TemporaryFolder folder;
  const std::string b = folder.write("b.txt", "b");
  const std::string a = write_gzip(folder, "a.jsonl.gz", "{\"text\": \"a\"}");
  folder.write("c.md", "c");
  folder.write(".hidden.txt", "d");
  EXPECT_EQ(find_text_files(folder.path()), (std::vector{a, b}));
  EXPECT_EQ(find_text_files(b), std::vector{b});
  EXPECT_EQ(find_text_files(b + "," + folder.path()), (std::vector{b, a, b}));
  const std::string comma = folder.write("x,y.txt", "z");
  EXPECT_EQ(find_text_files(comma), std::vector{comma});
  std::filesystem::create_directory(folder / "empty");
  EXPECT_EQ(refusal_about(folder / "empty", [&] { find_text_files(folder / "empty"); }),
            "the folder has no text (*.txt or *.jsonl, also with .gz)");
}

TEST(TextFiles, HoldADocumentOrOnePerLine) {
  const TemporaryFolder folder;
  EXPECT_EQ(documents(folder.write("t.txt", "one\ntwo\n")), std::vector<std::string>{"one\ntwo\n"});
  const std::string lines = "{\"text\": \"one\\n\", \"id\": 1}\n\n{\"id\": 2, \"text\": \"zwei \\u00e4\"}\r\n";
  const std::vector<std::string> expected = {"one\n", "zwei ä"};
  EXPECT_EQ(documents(folder.write("t.jsonl", lines)), expected);
  EXPECT_EQ(documents(write_gzip(folder, "t.jsonl.gz", lines)), expected);
  // Longer than the buffer into which it is decompressed.
  const std::string text(700'000, 'x');
  EXPECT_EQ(documents(write_gzip(folder, "t.txt.gz", text)), std::vector{text});
}

TEST(TextFiles, NameWhatIsWrongWithThem) {
  const TemporaryFolder folder;
  EXPECT_EQ(refusal(folder.write("t.txt", "two\xfftwo")),
            "is not UTF-8 text (byte 3 is 0xff); convert it to UTF-8, for instance with iconv");
  EXPECT_EQ(refusal(folder.write("empty.txt", "")), "is empty");
  EXPECT_EQ(refusal(folder.write("a.jsonl", "{\"text\": \"a\"}\n{\"body\": \"b\"}\n")),
            "line 2 has no 'text', the field of a document in a .jsonl");
  EXPECT_TRUE(refusal(folder.write("b.jsonl", "{\"text\": \n")).starts_with("line 1 is not valid JSON"));
  EXPECT_EQ(refusal(folder.write("c.jsonl", "\n\n")), "has no text");
  EXPECT_EQ(refusal(folder.write("t.txt.gz", "plain")), "cannot be decompressed: incorrect header check");
  std::string text(1000, 'd');
  text.back() = 'e';
  const std::string whole = support::read_file(write_gzip(folder, "d.txt.gz", text));
  EXPECT_EQ(refusal(folder.write("d.txt.gz", whole.substr(0, whole.size() / 2))),
            "cannot be decompressed: it ends too early");
  EXPECT_EQ(refusal(write_gzip(folder, "e.txt.gz", "")), "has no text");
  EXPECT_EQ(refusal(folder / "missing.txt"), "no such file");
}

TEST(TextFiles, MayBeginWithAByteOrderMark) {
  const TemporaryFolder folder;
  EXPECT_EQ(documents(folder.write("t.txt", "\xef\xbb\xbfone")), std::vector<std::string>{"one"});
  EXPECT_EQ(documents(write_gzip(folder, "t.txt.gz", "\xef\xbb\xbfone")), std::vector<std::string>{"one"});
  EXPECT_EQ(documents(folder.write("t.jsonl", "\xef\xbb\xbf{\"text\": \"one\"}")), std::vector<std::string>{"one"});
  EXPECT_EQ(refusal(folder.write("mark.txt", "\xef\xbb\xbf")), "has no text");
}

TEST(TextFiles, MayBeEmptyIfTheCallerSaysSo) {
  const TemporaryFolder folder;
  for (const std::string& path :
       {folder.write("t.txt", ""), folder.write("t.jsonl", "\n"), write_gzip(folder, "t.gz", "")}) {
    EXPECT_TRUE(TextFile::open(path, models::EmptyText::accept).documents().empty()) << path;
  }
}

TEST(TextFiles, AreToldFromTokens) {
  const TemporaryFolder folder;
  EXPECT_TRUE(models::is_text_source("builtin"));
  EXPECT_TRUE(models::is_text_source(folder.path()));
  EXPECT_TRUE(models::is_text_source(folder.write("notes", "HESSTOK is no header")));
  EXPECT_FALSE(models::is_text_source("t.bin"));
  EXPECT_FALSE(models::is_text_source("t.safetensors"));
  EXPECT_FALSE(models::is_text_source(folder.write("tokens", "HESSTOKS and a header")));
}

TEST(TextFiles, AreTheOnlyElementsOfAList) {
  const TemporaryFolder folder;
  const std::string text = folder.write("a.txt", "a");
  for (const std::string other : {"t.bin", "t.safetensors", "builtin"}) {
    const std::string list = text + "," + other;
    EXPECT_TRUE(models::is_text_source(list));
    EXPECT_EQ(refusal_about(list, [&] { find_text_files(list); }), "a list may hold texts only, not " + other);
  }
}

TEST(TextFiles, HaveADigestOfTheirContents) {
  const TemporaryFolder folder;
  const auto digest = models::file_digest(folder.write("t.txt", "one"));
  EXPECT_EQ(models::file_digest(folder.write("u.txt", "one")), digest);
  EXPECT_NE(models::file_digest(folder.write("t.txt", "onf")), digest);
}

}  // namespace
}  // namespace hessian::tests
