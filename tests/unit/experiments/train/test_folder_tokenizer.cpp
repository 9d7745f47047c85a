#include "train/folder_tokenizer.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <map>
#include <optional>
#include <string>

#include "config/model_option.h"
#include "fixtures.h"
#include "loader_support.h"
#include "refusal.h"

using hessian::experiments::FolderTokenizer;
using hessian::experiments::newest_checkpoint_of;
using hessian::experiments::plan_folder_tokenizer;
using hessian::models::DataRecord;
using hessian::models::Tokenizer;
using hessian::support::fixture_path;
using hessian::support::read_file;
using hessian::support::refusal_of;
using hessian::support::TemporaryFolder;

namespace hessian::tests {
namespace {

Tokenizer gpt2() {
  return Tokenizer::load(fixture_path("tokenizers/gpt2"));
}

Tokenizer sentencepiece() {
  return Tokenizer::load(fixture_path("tokenizers/sp_bpe/tokenizer.model"));
}

/// Does what a run does, and returns its record.
DataRecord start_run(const TemporaryFolder& folder, const std::optional<Tokenizer>& tokenizer,
                     const DataRecord& earlier) {
  const FolderTokenizer plan = plan_folder_tokenizer(folder.path(), tokenizer, earlier);
  remove_old_files(plan);
  copy_new_files(plan, folder.path());
  return {.files = plan.files};
}

std::optional<std::string> found_in(const TemporaryFolder& folder) {
  const auto path = Tokenizer::find(folder.path());
  return path ? std::optional(std::filesystem::path(*path).filename().string()) : std::nullopt;
}

TEST(FolderTokenizer, IsThatOfTheLastRun) {
  const TemporaryFolder folder;
  DataRecord record = start_run(folder, gpt2(), {});
  EXPECT_EQ(Tokenizer::load(folder.path()).digest(), gpt2().digest());
  record = start_run(folder, sentencepiece(), record);
  EXPECT_EQ(found_in(folder), "tokenizer.model");
  EXPECT_EQ(Tokenizer::load(folder.path()).digest(), sentencepiece().digest());
  record = start_run(folder, gpt2(), record);
  EXPECT_EQ(found_in(folder), "tokenizer.json");
  EXPECT_FALSE(std::filesystem::exists(folder / "tokenizer.model"));
  record = start_run(folder, std::nullopt, record);
  EXPECT_EQ(found_in(folder), std::nullopt);
  EXPECT_TRUE(record.files.empty());
}

TEST(FolderTokenizer, StaysIfTheNextRunReadsItThere) {
  const TemporaryFolder folder;
  const DataRecord record = start_run(folder, gpt2(), {});
  EXPECT_EQ(start_run(folder, Tokenizer::load(folder.path()), record), record);
  EXPECT_EQ(found_in(folder), "tokenizer.json");
}

TEST(FolderTokenizer, LeavesOtherFilesAlone) {
  const TemporaryFolder folder;
  const std::string own = folder.write("tokenizer_config.json", "{}");
  EXPECT_EQ(refusal_of([&] { start_run(folder, gpt2(), {}); }),
            own + ": belongs to another tokenizer, and no run put it there; move it away, or choose another 'out'");
  EXPECT_EQ(found_in(folder), std::nullopt);
  EXPECT_TRUE(start_run(folder, std::nullopt, {}).files.empty());
  EXPECT_EQ(read_file(own), "{}");
  // A file of an earlier run that has been edited since is the user's.
  DataRecord edited;
  edited.files["tokenizer_config.json"] = "0123456789abcdef";
  start_run(folder, std::nullopt, edited);
  EXPECT_EQ(read_file(own), "{}");
}

TEST(FolderTokenizer, DoesNotOwnAnEqualFile) {
  const TemporaryFolder folder;
  const std::string own = folder.write("tokenizer.json", read_file(fixture_path("tokenizers/gpt2/tokenizer.json")));
  const DataRecord record = start_run(folder, gpt2(), {});
  EXPECT_FALSE(record.files.contains("tokenizer.json"));
  start_run(folder, std::nullopt, record);
  EXPECT_TRUE(std::filesystem::exists(own));
}

TEST(NewestCheckpoint, IsThatOfTheLastStep) {
  const TemporaryFolder folder;
  EXPECT_EQ(newest_checkpoint_of(folder.path()), folder.path());
  EXPECT_EQ(newest_checkpoint_of("new:llama2-20M-prenorm"), "new:llama2-20M-prenorm");
  folder.write("checkpoint-00000009.safetensors", "x");
  folder.write("checkpoint-100000000.safetensors", "x");
  folder.write("checkpoint-00000010.safetensors", "x");
  folder.write("checkpoint-last.safetensors", "x");
  EXPECT_EQ(newest_checkpoint_of(folder.path()), folder / "checkpoint-100000000.safetensors");
  folder.write("config.json", "{}");
  EXPECT_EQ(newest_checkpoint_of(folder.path()), folder.path()) << "a Hugging Face folder";
}

}  // namespace
}  // namespace hessian::tests
