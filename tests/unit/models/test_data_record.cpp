#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <string>

#include "formats/safetensors.h"
#include "hessian/models/data_record.h"
#include "loader_support.h"
#include "refusal.h"

using hessian::models::DataRecord;
using hessian::models::source_digest;
using hessian::support::refusal_of;
using hessian::support::TemporaryFolder;

namespace hessian::tests {
namespace {

DataRecord example_record() {
  return {.source = "0123456789abcdef", .tokenizer = "bytes", .files = {{"tokenizer.json", "00ff"}}};
}

TEST(DataRecord, IsReadBackFromACheckpoint) {
  const TemporaryFolder folder;
  Parameters tensors;
  tensors.add("x", at::ones({1}));
  const std::string path = folder / "c.safetensors";
  models::save_safetensors(path, tensors, {{"data", models::to_json(example_record())}});
  EXPECT_EQ(models::read_data_record(path), example_record());
  models::save_safetensors(path, tensors, {});
  EXPECT_EQ(models::read_data_record(path), std::nullopt);
  EXPECT_EQ(models::read_data_record(folder.path()), std::nullopt);
  EXPECT_EQ(models::read_data_record(folder.write("ckpt.pt", "something else")), std::nullopt);
  models::save_safetensors(path, tensors, {{"data", "{}"}});
  EXPECT_EQ(refusal_of([&] { models::read_data_record(path); }),
            path + ": the record of its data has no text 'source'");
}

TEST(DataRecord, HasADigestOfEveryTextOfASource) {
  const TemporaryFolder folder;
  const std::string a = folder.write("a.txt", "one");
  const std::string b = folder.write("b.txt", "two");
  const std::string both = source_digest(a + "," + b);
  EXPECT_EQ(source_digest(folder.path()), both);
  EXPECT_NE(source_digest(a), both);
  folder.write("b.txt", "twp");
  EXPECT_NE(source_digest(folder.path()), both);
  // Texts that differ only in where one ends and the next one begins.
  folder.write("a.txt", "onet");
  folder.write("b.txt", "wo");
  EXPECT_NE(source_digest(folder.path()), both);
}

TEST(DataRecord, HasADigestOfSamplesOfALargeTokenFile) {
  const TemporaryFolder folder;
  std::string tokens(std::size_t{12} << 20U, '\0');
  const std::string path = folder.write("t.bin", tokens);
  const std::string digest = source_digest(path);
  for (const std::size_t place : {std::size_t{0}, tokens.size() - 1}) {
    std::string other = tokens;
    other[place] = 1;
    folder.write("t.bin", other);
    EXPECT_NE(source_digest(path), digest) << place;
  }
  tokens += "\0\0";
  tokens.push_back('\0');
  folder.write("t.bin", tokens);
  EXPECT_NE(source_digest(path), digest);
  folder.write("t.bin", "1234");
  const std::string small = source_digest(path);
  folder.write("t.bin", "1244");
  EXPECT_NE(source_digest(path), small);
}

}  // namespace
}  // namespace hessian::tests
