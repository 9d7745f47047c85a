#include <gtest/gtest.h>

#include "formats/zip_archive.h"
#include "loader_support.h"
#include "refusal.h"

using hessian::support::refusal_of;
using hessian::support::zip_bytes;

namespace hessian::tests {
namespace {

std::string refusal(const std::string& file) {
  return refusal_of([&] { models::read_zip_directory(support::as_bytes(file), "a.zip"); });
}

TEST(ZipArchive, FindsStoredEntries) {
  for (const bool zip64 : {false, true}) {
    const std::string file = zip_bytes({{"a/x", "first"}, {"a/y", ""}, {"b", "third"}}, zip64, "a comment PK");
    const auto entries = models::read_zip_directory(support::as_bytes(file), "a.zip");
    ASSERT_EQ(entries.size(), 3U) << "zip64 " << zip64;
    EXPECT_EQ(file.substr(entries.at("a/x").offset, entries.at("a/x").size), "first");
    EXPECT_EQ(file.substr(entries.at("b").offset, entries.at("b").size), "third");
    EXPECT_EQ(entries.at("a/y").size, 0U);
  }
}

TEST(ZipArchive, RefusesUnsupportedArchives) {
  EXPECT_EQ(
      refusal(zip_bytes({{"x", "data", 8}})),
      "a.zip: zip entry 'x' is compressed (method 8); torch.save stores without compression, so save it with that");
  EXPECT_EQ(refusal(zip_bytes({{"x", "data", 0, 1}})), "a.zip: zip entry 'x' is encrypted");
  EXPECT_EQ(refusal(zip_bytes({{"x", "1"}, {"x", "2"}})), "a.zip: zip entry 'x' comes twice");
  EXPECT_EQ(refusal("PK\x03\x04 and no more"),
            "a.zip: the zip archive has no directory at its end; the file is cut short");
}

TEST(ZipArchive, RefusesAnArchiveCutAnywhere) {
  for (const bool zip64 : {false, true}) {
    const std::string whole = zip_bytes({{"a/x", "first"}, {"b", "second"}}, zip64);
    for (std::size_t size = 0; size < whole.size(); ++size) {
      EXPECT_NE(refusal(whole.substr(0, size)), "") << size << " bytes, zip64 " << zip64;
    }
  }
}

TEST(ZipArchive, NeverPointsOutsideADamagedFile) {
  for (const bool zip64 : {false, true}) {
    const std::string whole = zip_bytes({{"a/x", "first"}, {"b", "second"}}, zip64);
    for (std::size_t position = 0; position < whole.size(); ++position) {
      for (const char value : {'\x00', '\x7f', '\xff'}) {
        std::string changed = whole;
        changed[position] = value;
        try {
          for (const auto& [name, entry] : models::read_zip_directory(support::as_bytes(changed), "a.zip")) {
            EXPECT_LE(entry.offset, changed.size());
            EXPECT_LE(entry.size, changed.size() - entry.offset) << "byte " << position;
          }
        } catch (const std::runtime_error&) {
          continue;
        }
      }
    }
  }
}

}  // namespace
}  // namespace hessian::tests
