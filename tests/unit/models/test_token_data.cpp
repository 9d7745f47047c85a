#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "changed_environment.h"
#include "fixtures.h"
#include "formats/safetensors.h"
#include "hessian/models/token_data.h"
#include "loader_support.h"
#include "refusal.h"
#include "tokens/token_output.h"

using hessian::models::DataOptions;
using hessian::models::load_token_batch;
using hessian::support::fixture_path;
using hessian::support::refusal_of;
using hessian::support::TemporaryFolder;

namespace hessian::tests {
namespace {

DataOptions options_for(const std::string& source, std::int64_t vocab_size) {
  DataOptions options;
  options.source = source;
  options.vocab_size = vocab_size;
  options.sequences = 3;
  options.seq_len = 5;
  return options;
}

std::string refusal(const DataOptions& options) {
  return support::refusal_about(options.source, [&] { load_token_batch(options); });
}

std::string counting_text() {
  std::string text;
  for (int i = 0; i < 200; ++i) {
    text += static_cast<char>(32 + i % 90);
  }
  return text;
}

std::string rows_file(const TemporaryFolder& folder, const at::Tensor& tokens, const at::Tensor& targets) {
  hessian::Parameters tensors;
  tensors.add("tokens", tokens);
  tensors.add("targets", targets);
  models::save_safetensors(folder / "rows.safetensors", tensors, {});
  return folder / "rows.safetensors";
}

TEST(TokenData, CutsWindowsOutOfTextAtItsOffsets) {
  const TemporaryFolder folder;
  const std::string text = counting_text();
  const auto batch = load_token_batch(options_for(folder.write("t.txt", text), 256));
  ASSERT_EQ(batch.tokens.sizes(), at::IntArrayRef({3, 5}));
  ASSERT_EQ(batch.targets.sizes(), at::IntArrayRef({3, 5}));
  ASSERT_EQ(batch.offsets.size(), 3U);
  for (int64_t row = 0; row < 3; ++row) {
    for (int64_t i = 0; i < 5; ++i) {
      const auto position = static_cast<std::size_t>(batch.offsets[static_cast<std::size_t>(row)] + i);
      EXPECT_EQ(batch.tokens[row][i].item<int64_t>(), text[position]);
      EXPECT_EQ(batch.targets[row][i].item<int64_t>(), text[position + 1]);
    }
  }
}

TEST(TokenData, HasEightSequencesOf128TokensOrAsManyAsTheModelTakesByDefault) {
  const TemporaryFolder folder;
  std::string text;
  for (int i = 0; i < 10; ++i) {
    text += counting_text();
  }
  DataOptions options;
  options.source = folder.write("t.txt", text);
  options.vocab_size = 256;
  const auto sizes_with = [&options](std::int64_t max_seq_len) {
    options.max_seq_len = max_seq_len;
    return load_token_batch(options).tokens.sizes().vec();
  };
  EXPECT_EQ(sizes_with(512), (std::vector<std::int64_t>{8, 128}));
  EXPECT_EQ(sizes_with(32), (std::vector<std::int64_t>{8, 32}));
  options.sequences = 3;
  EXPECT_EQ(sizes_with(32), (std::vector<std::int64_t>{3, 32}));
  options.seq_len = 40;
  EXPECT_EQ(sizes_with(512), (std::vector<std::int64_t>{3, 40}));
}

TEST(TokenData, HasEveryRowOfASafetensorsFileAtItsLengthByDefault) {
  const TemporaryFolder folder;
  const at::Tensor ids = at::arange(11 * 200).view({11, 200}).remainder(50);
  DataOptions options;
  options.source = rows_file(folder, ids, ids);
  options.vocab_size = 50;
  EXPECT_TRUE(load_token_batch(options).tokens.equal(ids));
  EXPECT_TRUE(load_token_batch(options).targets.equal(ids));
}

TEST(TokenData, IsTheWholeOfAFileByDefault) {
  const TemporaryFolder folder;
  EXPECT_EQ(models::TokenDataset::open(options_for(folder.write("t.txt", counting_text()), 256)).size(), 200);
}

TEST(TokenData, DependsOnlyOnTheSeed) {
  const TemporaryFolder folder;
  auto options = options_for(folder.write("t.txt", counting_text()), 256);
  const auto first = load_token_batch(options);
  EXPECT_EQ(load_token_batch(options).offsets, first.offsets);
  options.seed = 1;
  EXPECT_NE(load_token_batch(options).offsets, first.offsets);
}

TEST(TokenData, SplitsAFileIntoTrainingAndHeldOut) {
  const TemporaryFolder folder;
  auto options = options_for(folder.write("t.txt", counting_text()), 256);
  options.split = models::Split::train;
  const auto train = models::TokenDataset::open(options);
  options.split = models::Split::held_out;
  const auto held_out = models::TokenDataset::open(options);
  options.split.reset();
  EXPECT_EQ(train.size() + held_out.size(), models::TokenDataset::open(options).size());
  EXPECT_EQ(held_out.windows({0}, 5).offsets, std::vector<std::int64_t>{train.size()});
  for (const auto offset : held_out.draw(2, 5, 7).offsets) {
    EXPECT_GE(offset, 180);
  }
  EXPECT_EQ(refusal_of([&] { train.windows({train.size() - 5}, 5); }),
            options.source + ": a window of 6 tokens at 175 reaches beyond the 180 that there are");
}

TEST(TokenData, TakesTextOnlyForAByteVocabulary) {
  const TemporaryFolder folder;
  auto options = options_for(folder.write("t.txt", counting_text()), 65);
  const std::string complaint =
      "is text, and without a tokenizer its bytes are the tokens, a vocabulary of 256; but the model has 65. Give "
      "--tokenizer, or its own tokens with --data: a .bin, or a .safetensors with 'tokens' and 'targets'";
  EXPECT_EQ(refusal(options), complaint);
  options.accept_larger_vocab = true;
  EXPECT_EQ(refusal(options), complaint);
  options.vocab_size = 32000;
  EXPECT_NO_THROW(load_token_batch(options));
  options.accept_larger_vocab = false;
  EXPECT_NE(refusal(options), "");
}

TEST(TokenData, NamesATokenBeyondTheVocabulary) {
  const TemporaryFolder folder;
  std::string tokens;
  for (int i = 0; i < 6; ++i) {
    tokens += support::little_endian(static_cast<std::uint16_t>(i == 4 ? 65 : i));
  }
  auto options = options_for(folder.write("t.bin", tokens), 65);
  options.sequences = 1;
  EXPECT_EQ(refusal(options), "token 4 is 65, but the model has a vocabulary of 65 (ids 0 to 64)");
  options.vocab_size = 66;
  EXPECT_EQ(load_token_batch(options).targets[0][3].item<int64_t>(), 65);
}

TEST(TokenData, ChecksEveryIdOfATokenFile) {
  const TemporaryFolder folder;
  std::string tokens;
  for (int i = 0; i < 5000; ++i) {
    tokens += support::little_endian(static_cast<std::uint16_t>(i == 4321 ? 65 : i % 65));
  }
  auto options = options_for(folder.write("t.bin", tokens), 65);
  options.sequences = 1;
  EXPECT_EQ(refusal(options), "token 4321 is 65, but the model has a vocabulary of 65 (ids 0 to 64)");
}

/// Writes a file of hessian-tokens with a few ids.
std::string own_file(const TemporaryFolder& folder, const std::string& name, std::int64_t vocab_size) {
  const std::string path = folder / name;
  models::write_token_file(path, std::vector<std::int32_t>{1, 2, 3, 4, 5, 6, 7}, vocab_size, {.overwrite = true});
  return path;
}

TEST(TokenData, ChecksTheVocabularyThatAHeaderNames) {
  const TemporaryFolder folder;
  auto options = options_for(own_file(folder, "t.bin", 300), 256);
  options.sequences = 1;
  EXPECT_EQ(refusal(options),
            "has ids of a vocabulary of 300 according to its header, but the model has a vocabulary of 256");
  options.vocab_size = 1001;
  EXPECT_NO_THROW(load_token_batch(options));
  options.source = own_file(folder, "tokens", 300);
  EXPECT_NO_THROW(load_token_batch(options)) << "recognised by its header, whatever its name is";
  options.tokenizer = fixture_path("tokenizers/gpt2");
  EXPECT_EQ(refusal(options), "has ids of a vocabulary of 300 according to its header, but " + options.tokenizer +
                                  "/tokenizer.json has 1001 tokens");
  options.source = own_file(folder, "t.bin", 1001);
  EXPECT_NO_THROW(load_token_batch(options));
}

TEST(TokenData, ChecksATokenizerThatIsNotNeeded) {
  const TemporaryFolder folder;
  auto options = options_for(own_file(folder, "t.bin", 256), 256);
  options.sequences = 1;
  options.tokenizer = folder / "missing.json";
  EXPECT_EQ(refusal_of([&] { load_token_batch(options); }), options.tokenizer + ": no such file");
  options.tokenizer = fixture_path("tokenizers/gpt2");
  EXPECT_EQ(
      refusal_of([&] { load_token_batch(options); }),
      options.tokenizer +
          "/tokenizer.json: has ids up to 1000, but the model has a vocabulary of 256 (ids 0 to 255); give its own "
          "tokenizer with --tokenizer, or bytes for a token per byte");
  options.source = rows_file(folder, at::arange(6).view({2, 3}), at::arange(6).view({2, 3}));
  options.seq_len = 0;
  EXPECT_TRUE(refusal_of([&] { load_token_batch(options); }).starts_with(options.tokenizer));
}

TEST(TokenData, RefusesATypeOfTokensForAnythingElse) {
  const TemporaryFolder folder;
  auto options = options_for(folder.write("t.txt", counting_text()), 256);
  options.token_type = "uint16";
  options.names.token_type = "data.token_type";
  EXPECT_EQ(refusal(options), "is text; data.token_type is for token files without a header");
  options.source = rows_file(folder, at::arange(6).view({2, 3}), at::arange(6).view({2, 3}));
  EXPECT_EQ(refusal(options), "holds whole sequences; data.token_type is for token files without a header");
}

TEST(TokenData, TakesBytesForAnyLargerVocabularyIfTheyAreNamed) {
  const TemporaryFolder folder;
  auto options = options_for(folder.write("t.txt", "\xef\xbb\xbf" + counting_text()), 1001);
  options.names = {"data.source", "data.tokenizer", "data.token_type"};
  EXPECT_EQ(
      refusal(options),
      "is text, and without a tokenizer its bytes are the tokens, a vocabulary of 256; but the model has 1001. Give "
      "data.tokenizer, or its own tokens with data.source: a .bin, or a .safetensors with 'tokens' and 'targets'");
  options.tokenizer = "bytes";
  EXPECT_EQ(models::TokenDataset::open(options).size(), 200) << "without the byte order mark";
  options.vocab_size = 255;
  EXPECT_NE(refusal(options), "");
}

TEST(TokenData, SaysThatAFileIsTooShort) {
  const TemporaryFolder folder;
  EXPECT_EQ(refusal(options_for(folder.write("t.txt", "abc"), 256)),
            "has 3 tokens, but one window takes 6 (a sequence of 5, and the token after it)");
  EXPECT_EQ(refusal(options_for(folder.write("e.txt", ""), 256)), "is empty");
  EXPECT_EQ(refusal(options_for(folder / "absent.txt", 256)), "no such file");
}

TEST(TokenData, UsesRowsOfASafetensorsFileUnchanged) {
  DataOptions options;
  options.source = HESSIAN_FIXTURES "/nanogpt/expected.safetensors";
  options.vocab_size = 65;
  const auto raw = models::load_safetensors(options.source).tensors;
  const auto whole = load_token_batch(options);
  EXPECT_TRUE(whole.tokens.equal(raw.at("tokens")));
  EXPECT_TRUE(whole.targets.equal(raw.at("targets")));
  EXPECT_EQ(whole.offsets, (std::vector<std::int64_t>{0, 32, 64}));
  options.sequences = 2;
  options.seq_len = 7;
  options.seed = 99;
  const auto part = load_token_batch(options);
  EXPECT_TRUE(part.tokens.equal(raw.at("tokens").slice(0, 0, 2).slice(1, 0, 7)));
  EXPECT_TRUE(part.targets.equal(raw.at("targets").slice(0, 0, 2).slice(1, 0, 7)));
  options.sequences = 4;
  EXPECT_EQ(refusal(options), "has 3 sequences, but 4 are asked for");
  options.sequences = 0;
  options.seq_len = 33;
  EXPECT_EQ(refusal(options), "has 32 tokens in a sequence, but 33 are asked for");
}

TEST(TokenData, RefusesRowsThatAreNotTokens) {
  const TemporaryFolder folder;
  DataOptions options;
  options.vocab_size = 10;
  const at::Tensor good = at::arange(6).view({2, 3});
  at::Tensor wrong = good.clone();
  wrong[1][2] = 10;
  options.source = rows_file(folder, good, wrong);
  EXPECT_EQ(refusal(options), "'targets' [1, 2] is 10, but the model has a vocabulary of 10 (ids 0 to 9)");
  wrong[1][2] = -100;
  options.source = rows_file(folder, wrong, good);
  EXPECT_EQ(refusal(options), "'tokens' [1, 2] is -100, but the model has a vocabulary of 10 (ids 0 to 9)");
  options.source = rows_file(folder, good.to(at::kInt), good);
  EXPECT_EQ(refusal(options), "tensor 'tokens' is [2, 3] Int, expected [B, T] Long with B and T at least 1");
  options.source = rows_file(folder, good, good.narrow(1, 0, 2));
  EXPECT_EQ(refusal(options), "tensor 'targets' is [2, 2], expected [2, 3] as 'tokens' is");
  hessian::Parameters only_tokens;
  only_tokens.add("tokens", good);
  models::save_safetensors(options.source, only_tokens, {});
  EXPECT_EQ(refusal(options), "has no tensor 'targets'; token data is 'tokens' and 'targets', [B, T] int64");
}

TEST(BuiltinText, ComesFromTheChosenFolderAndIsHeldOut) {
  const TemporaryFolder folder;
  const std::string text = counting_text();
  folder.write("kjv.txt", text);
  const support::ChangedEnvironment environment("HESSIAN_DATA_DIR", folder.path());
  EXPECT_EQ(models::find_builtin_text(), folder / "kjv.txt");
  for (const auto offset : load_token_batch(options_for("builtin", 256)).offsets) {
    EXPECT_GE(offset, 180);
  }
}

TEST(BuiltinText, NamesTheFolderThatLacksIt) {
  const TemporaryFolder folder;
  const support::ChangedEnvironment environment("HESSIAN_DATA_DIR", folder.path());
  EXPECT_EQ(refusal_of([] { load_token_batch(options_for("builtin", 256)); }),
            "builtin: HESSIAN_DATA_DIR is '" + folder.path() +
                "', but there is no kjv.txt in it; set it to the folder that holds it, or give a file with --data");
}

TEST(BuiltinText, IsTheKingJamesBible) {
  std::string path;
  try {
    path = models::find_builtin_text();
  } catch (const std::runtime_error& error) {
    GTEST_SKIP() << error.what();
  }
  const std::string text = support::read_file(path);
  EXPECT_TRUE(text.starts_with("In the beginning God created the heaven and the earth.\n"));
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 31102);
}

}  // namespace
}  // namespace hessian::tests
