#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cstdint>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include "hessian/models/tokenizer.h"
#include "io/atomic_file.h"
#include "program/log.h"
#include "program/program.h"
#include "tokenizers/train_bpe.h"
#include "tokens/text_files.h"
#include "tokens/token_file.h"
#include "tokens/token_output.h"

namespace {

using namespace hessian::experiments;
using namespace hessian::models;
namespace fs = std::filesystem;

struct TokensCommand {
  std::vector<std::string> inputs;
  std::string tokenizer;
  std::string out;
  std::string token_type;
  std::int64_t train_bpe = 0;
  std::size_t threads = 0;
  bool json = false;
  bool decode = false;
  bool bare = false;
  bool overwrite = false;
};

void declare(CLI::App& app, TokensCommand& command) {
  app.add_option("INPUT", command.inputs,
                 "texts: files (.txt, .jsonl, also with .gz) or folders of these; with --decode token files (.bin) or "
                 "ids as JSON")
      ->required()
      ->check(check_not_empty);
  app.add_option("--tokenizer", command.tokenizer,
                 "folder with tokenizer.json, tokenizer.model, vocab.json and merges.txt, or meta.pkl; or one of these "
                 "files")
      ->check(check_not_empty);
  app.add_option("--out", command.out, "file to write")->check(check_not_empty);
  app.add_flag("--overwrite", command.overwrite, "replace an existing file");
  app.add_flag("--bare", command.bare, "write uint16 tokens without a header, as nanoGPT reads them");
  app.add_flag("--json", command.json, R"(print {"ids": [...]} of each whole input instead of writing a token file)");
  app.add_flag("--decode", command.decode, "print the text of token files, or write it to --out");
  app.add_option("--token-type", command.token_type, "type of token files without a header (uint16)")
      ->check(CLI::IsMember(token_type_words));
  app.add_option("--train-bpe", command.train_bpe,
                 "train a byte-level BPE tokenizer of this many tokens on the texts, and write its tokenizer.json")
      ->check(check_positive_integer);
  app.add_option("--threads", command.threads, "threads for several documents; 0: all cores")
      ->check(check_natural_number)
      ->capture_default_str();
}

void check(const TokensCommand& command) {
  const auto refuse = [](const char* message) { throw std::invalid_argument(message); };
  const bool trains = command.train_bpe > 0;
  const int tasks = (command.json ? 1 : 0) + (command.decode ? 1 : 0) + (trains ? 1 : 0);
  if (tasks > 1) {
    refuse("--json, --decode and --train-bpe exclude each other");
  }
  if (trains && !command.tokenizer.empty()) {
    refuse("--train-bpe makes a tokenizer; --tokenizer is for texts that an existing one encodes");
  }
  if (!trains && command.tokenizer.empty()) {
    refuse("--tokenizer is required, unless --train-bpe makes one");
  }
  if (command.out.empty() && (trains || tasks == 0)) {
    refuse("--out is required: the file to write");
  }
  if (command.json && !command.out.empty()) {
    refuse("--json prints ids; --out is for token files, texts and tokenizers");
  }
  if (command.bare && tasks > 0) {
    refuse("--bare is for token files");
  }
  if (!command.token_type.empty() && !command.decode) {
    refuse("--token-type is for --decode");
  }
}

std::vector<TextFile> open_texts(const TokensCommand& command) {
  std::vector<TextFile> files;
  for (const std::string& input : command.inputs) {
    for (const std::string& path : find_text_files(input)) {
      files.push_back(TextFile::open(path));
    }
  }
  return files;
}

void train(const TokensCommand& command) {
  std::vector<std::string_view> texts;
  const std::vector<TextFile> files = open_texts(command);
  for (const TextFile& file : files) {
    texts.insert(texts.end(), file.documents().begin(), file.documents().end());
  }
  std::error_code error;
  const fs::path path = fs::is_directory(command.out, error) ? command.out + "/tokenizer.json" : command.out;
  const std::string json = train_bpe(texts, command.train_bpe);
  write_file(path, json, command.overwrite);
  const auto size = Tokenizer::load(path.string()).vocab_size();
  if (size < command.train_bpe) {
    log_warning(fmt::format("{}: {} tokens instead of {}: every word of the text is one token", path.string(), size,
                            command.train_bpe));
  }
}

void print_json(const TokensCommand& command, const Tokenizer& tokenizer) {
  for (const TextFile& file : open_texts(command)) {
    print(nlohmann::json{{"ids", encode_file(tokenizer, file, command.threads)}}.dump() + "\n");
  }
}

void write_tokens(const TokensCommand& command, const Tokenizer& tokenizer) {
  std::vector<std::int32_t> ids;
  for (const TextFile& file : open_texts(command)) {
    append_ids(tokenizer, encode_file(tokenizer, file, command.threads), ids);
  }
  write_token_file(command.out, ids, tokenizer.vocab_size(), {.bare = command.bare, .overwrite = command.overwrite});
  print(fmt::format("{}: {} tokens of {} in the vocabulary, {}\n", command.out, ids.size(), tokenizer.vocab_size(),
                    to_string(token_type_of(tokenizer.vocab_size()))));
}

void decode(const TokensCommand& command, const Tokenizer& tokenizer) {
  std::string text;
  for (const std::string& input : command.inputs) {
    text += tokenizer.decode(
        read_ids(input, command.token_type.empty() ? std::nullopt : std::optional(parse_token_type(command.token_type)),
                 tokenizer.vocab_size()));
  }
  if (command.out.empty()) {
    print(text);
    return;
  }
  write_file(command.out, text, command.overwrite);
}

}  // namespace

int main(int argc, char** argv) {
  return run_program("hessian-tokens", [&] {
    TokensCommand command;
    CLI::App app("Translates texts to tokens and back, and trains tokenizers", "hessian-tokens");
    declare(app, command);
    if (const auto status = parse_command_line(app, argc, argv, UsesTorch::no)) {
      return *status;
    }
    check(command);
    if (command.train_bpe > 0) {
      train(command);
      return 0;
    }
    const Tokenizer tokenizer = Tokenizer::load(command.tokenizer);
    if (command.json) {
      print_json(command, tokenizer);
    } else if (command.decode) {
      decode(command, tokenizer);
    } else {
      write_tokens(command, tokenizer);
    }
    return 0;
  });
}
