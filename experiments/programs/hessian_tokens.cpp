#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cstdint>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <span>
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
                 "texts, in this order: files (.txt, .jsonl, also with .gz) or folders of these; with --decode token "
                 "files, or ids as --json prints them")
      ->required()
      ->check(check_not_empty);
  app.add_option("--tokenizer", command.tokenizer,
                 "folder with tokenizer.json, tokenizer.model, vocab.json and merges.txt, or meta.pkl; or one of these "
                 "files; bytes: a token per byte")
      ->check(check_not_empty);
  app.add_option("--out", command.out, "file to write; the name of a token file ends in .bin")->check(check_not_empty);
  app.add_flag("--overwrite", command.overwrite, "replace an existing file");
  app.add_flag("--bare", command.bare, "write uint16 tokens without a header, as nanoGPT reads them");
  app.add_flag("--json", command.json,
               R"(print {"ids": [...]} instead of writing a token file: a line per file, also of a folder)");
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
  if (tasks == 0 && !command.out.ends_with(".bin")) {
    refuse("--out is the name of a token file, which ends in .bin");
  }
  if (!command.token_type.empty() && !command.decode) {
    refuse("--token-type is for --decode");
  }
}

/// Refuses an output that would replace an input.
void check_is_no_input(const std::string& out, const std::string& input) {
  std::error_code error;
  if (fs::equivalent(out, input, error)) {
    throw std::runtime_error(fmt::format("{}: is an input, too; give another --out", out));
  }
}

/// Opens the texts.
/// \param out  the file that will be written; empty: none
std::vector<TextFile> open_texts(const TokensCommand& command, const std::string& out, EmptyText empty) {
  std::vector<TextFile> files;
  for (const std::string& input : command.inputs) {
    for (const std::string& path : find_text_files(input)) {
      check_is_no_input(out, path);
      if (!is_text_source(path)) {
        throw std::runtime_error(path + ": is no text; --decode translates tokens to text");
      }
      files.push_back(TextFile::open(path, empty));
    }
  }
  return files;
}

Tokenizer load_tokenizer(const TokensCommand& command) {
  if (command.tokenizer == "bytes") {
    return Tokenizer::bytes();
  }
  Tokenizer tokenizer = Tokenizer::load(command.tokenizer);
  for (const std::string& file : tokenizer.files()) {
    check_is_no_input(command.out, file);
  }
  return tokenizer;
}

void train(const TokensCommand& command) {
  std::vector<std::string_view> texts;
  std::error_code error;
  const bool is_folder = fs::is_directory(command.out, error) || command.out.ends_with('/');
  const fs::path path = is_folder ? fs::path(command.out) / "tokenizer.json" : fs::path(command.out);
  const std::vector<TextFile> files = open_texts(command, path.string(), EmptyText::refuse);
  for (const TextFile& file : files) {
    texts.insert(texts.end(), file.documents().begin(), file.documents().end());
  }
  AtomicFile file(path, command.overwrite);  // made before the training, which may take long
  const std::string json = train_bpe(texts, command.train_bpe);
  file.write(std::as_bytes(std::span(json)));
  file.commit();
  const auto size = Tokenizer::load(path.string()).vocab_size();
  if (size < command.train_bpe) {
    log_warning(fmt::format("{}: {} tokens instead of {}: every word of the text is one token", path.string(), size,
                            command.train_bpe));
  }
}

void print_json(const TokensCommand& command, const Tokenizer& tokenizer) {
  for (const TextFile& file : open_texts(command, "", EmptyText::accept)) {
    print(nlohmann::json{{"ids", encode_file(tokenizer, file, command.threads)}}.dump() + "\n");
  }
}

void write_tokens(const TokensCommand& command, const Tokenizer& tokenizer) {
  std::vector<std::int32_t> ids;
  for (const TextFile& file : open_texts(command, command.out, EmptyText::refuse)) {
    const std::vector<std::int32_t> encoded = encode_file(tokenizer, file, command.threads);
    if (encoded.empty()) {
      throw std::runtime_error(file.path() + ": its text has no tokens");
    }
    append_ids(tokenizer, encoded, ids);
  }
  write_token_file(command.out, ids, tokenizer.vocab_size(), {.bare = command.bare, .overwrite = command.overwrite});
  print(fmt::format("{}: {} tokens of {} in the vocabulary, {}\n", command.out, ids.size(), tokenizer.vocab_size(),
                    to_string(token_type_of(tokenizer.vocab_size()))));
}

void decode(const TokensCommand& command, const Tokenizer& tokenizer) {
  std::string text;
  const auto type = command.token_type.empty() ? std::nullopt : std::optional(parse_token_type(command.token_type));
  for (const std::string& input : command.inputs) {
    check_is_no_input(command.out, input);
    for (const auto& ids : read_id_lists(input, type, tokenizer.vocab_size())) {
      text += tokenizer.decode(ids);
    }
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
    const Tokenizer tokenizer = load_tokenizer(command);
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
