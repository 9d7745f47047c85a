#include "tokenizers/tokenizer_files.h"

#include <filesystem>
#include <memory>
#include <utility>

#include "gguf/gguf.h"
#include "io/byte_reader.h"
#include "io/digest.h"
#include "io/json_reader.h"
#include "io/mapped_file.h"
#include "io/messages.h"
#include "tokenizers/characters.h"
#include "tokenizers/gguf_tokenizer.h"
#include "tokenizers/sentencepiece_model.h"
#include "tokenizers/tiktoken.h"
#include "tokenizers/tokenizer_json.h"
#include "tokenizers/vocab_merges.h"

namespace hessian::models {
namespace {

namespace fs = std::filesystem;

/// Files that are tokenizers of their own, in the order of preference.
constexpr const char* tokenizer_names[] = {"tokenizer.json", "tokenizer.model", "vocab.json", "meta.pkl"};

bool is_file(const fs::path& path) {
  std::error_code error;
  return fs::is_regular_file(path, error);
}

/// Maps files, and remembers which ones and what they hold.
class Reader {
 public:
  std::span<const std::byte> read(const fs::path& path) {
    const auto& file = files_.emplace_back(MappedFile::open(path.string()));
    digest_.add(file->bytes());
    return file->bytes();
  }

  std::vector<std::string> paths() const {
    std::vector<std::string> result;
    for (const auto& file : files_) {
      result.push_back(file->path());
    }
    return result;
  }

  std::uint64_t digest() const { return digest_.value(); }

 private:
  std::vector<std::shared_ptr<const MappedFile>> files_;
  Digest digest_;
};

/// Refuses folders whose files have GPT-2's names but another tokenizer's rules, which only its class has.
void check_class(const nlohmann::json& config, const std::string& source) {
  const auto found = config.find("tokenizer_class");
  if (found == config.end() || !found->is_string()) {
    return;
  }
  std::string name = found->get<std::string>();
  if (name.ends_with("Fast")) {
    name.resize(name.size() - 4);
  }
  if (name != "GPT2Tokenizer" && name != "CodeGenTokenizer") {
    fail(source,
         "names the tokenizer {}, whose rules are not in vocab.json and merges.txt; save it as tokenizer.json "
         "(AutoTokenizer.from_pretrained(...).save_pretrained(...))",
         name_text(name));
  }
}

/// The names of special tokens in tokenizer_config.json and special_tokens_map.json. An empty name: there is no such
/// token.
struct SpecialNames {
  std::optional<std::string> begin;
  std::optional<std::string> end;
};

void read_name(const nlohmann::json& json, const char* key, const std::string& source,
               std::optional<std::string>& name) {
  const auto value = json.find(key);
  if (name || value == json.end()) {
    return;
  }
  if (value->is_string()) {
    name = value->get<std::string>();
  } else if (value->is_object() && value->contains("content") && value->at("content").is_string()) {
    name = value->at("content").get<std::string>();
  } else if (value->is_null()) {
    name = "";
  } else {
    fail(source, "'{}' is {}, expected the text of a token, an object with its 'content', or null", key,
         json_text(*value));
  }
}

SpecialNames read_special_names(const fs::path& folder, Reader& reader, bool is_vocab_json) {
  SpecialNames names;
  for (const char* file : {"tokenizer_config.json", "special_tokens_map.json"}) {
    const fs::path path = folder / file;
    if (!is_file(path)) {
      continue;
    }
    const auto json = parse_json_object(as_text(reader.read(path)), path.string(), "the file");
    if (is_vocab_json) {
      check_class(json, path.string());
    }
    read_name(json, "bos_token", path.string(), names.begin);
    read_name(json, "eos_token", path.string(), names.end);
  }
  return names;
}

/// Returns the id of the first of these tokens that the tokenizer has.
std::optional<std::int32_t> find_any(const Encoder& encoder, std::initializer_list<const char*> names) {
  for (const char* name : names) {
    if (const auto id = encoder.find(name)) {
      return id;
    }
  }
  return std::nullopt;
}

std::optional<std::int32_t> begin_token(const Encoder& encoder, const SpecialNames& names) {
  if (const Frame frame = encoder.frame(); !frame.before.empty()) {
    return frame.before.front();
  }
  if (names.begin) {
    return encoder.find(*names.begin);
  }
  return find_any(encoder, {"<|begin_of_text|>", "<bos>", "<s>", "<|endoftext|>"});
}

/// Returns the token that separates the documents of the training data, if it has one of the usual names. A chat model
/// names the token that ends a turn as its end.
std::optional<std::int32_t> document_end_token(const Encoder& encoder) {
  return find_any(encoder, {"<|endoftext|>", "<|end_of_text|>"});
}

std::optional<std::int32_t> end_token(const Encoder& encoder, const SpecialNames& names) {
  if (const auto id = document_end_token(encoder)) {
    return id;
  }
  if (names.end) {
    return encoder.find(*names.end);
  }
  const auto id = encoder.end_token();
  return id ? id : find_any(encoder, {"<eos>", "</s>"});
}

EncoderPointer read_vocab_json(const fs::path& vocab, Reader& reader) {
  const fs::path merges = vocab.parent_path() / "merges.txt";
  const fs::path added = vocab.parent_path() / "added_tokens.json";
  if (!is_file(merges)) {
    fail(merges.string(), "no such file; the vocabulary in {} needs its merges", vocab.filename().string());
  }
  VocabMergesFiles files;
  files.vocab_source = vocab.string();
  files.merges_source = merges.string();
  files.added_source = added.string();
  files.vocab = as_text(reader.read(vocab));
  files.merges = as_text(reader.read(merges));
  if (is_file(added)) {
    files.added = as_text(reader.read(added));
  }
  return parse_vocab_merges(files);
}

/// A tokenizer, and the name that the file read last has in a folder.
struct NamedEncoder {
  EncoderPointer encoder;
  std::string name;
};

NamedEncoder read_encoder(const fs::path& path, Reader& reader) {
  const fs::path name = path.filename();
  if (name == "merges.txt" || name == "vocab.json") {
    return {read_vocab_json(path.parent_path() / "vocab.json", reader), "vocab.json"};
  }
  const auto bytes = reader.read(path);
  const std::string_view text = as_text(bytes);
  const auto first = text.find_first_not_of(" \t\r\n");
  // A file of sentencepiece begins with a line end, too, but then with the length of its first token.
  if (path.extension() == ".json" ||
      (first != std::string_view::npos && text[first] == '{' && path.extension() != ".model")) {
    return {parse_tokenizer_json(text, path.string()), "tokenizer.json"};
  }
  if (path.extension() == ".pkl" || text.starts_with('\x80')) {
    return {parse_character_pickle(bytes, path.string()), "meta.pkl"};
  }
  return {looks_like_tiktoken(text) ? parse_tiktoken(text, path.string()) : parse_sentencepiece(text, path.string()),
          "tokenizer.model"};
}

/// Reads the tokenizer in a model's file. The digest is that of the header, which determines the tokenizer.
TokenizerFiles load_gguf(const MappedFile& file) {
  const GgufHeader header = parse_gguf(file.bytes(), file.path());
  GgufTokenizer tokenizer = parse_gguf_tokenizer(header.metadata);
  TokenizerFiles result;
  result.path = file.path();
  result.files = {file.path()};
  result.digest = Digest().add(file.bytes().first(header.size)).value();
  const auto document_end = document_end_token(*tokenizer.encoder);
  result.begin = tokenizer.begin;
  result.end = document_end ? document_end : tokenizer.end;
  result.encoder = std::move(tokenizer.encoder);
  return result;
}

}  // namespace

const std::vector<std::string>& tokenizer_file_names() {
  static const std::vector<std::string> names = {
      "tokenizer.json",        "tokenizer.model",        "vocab.json", "meta.pkl", "merges.txt", "added_tokens.json",
      "tokenizer_config.json", "special_tokens_map.json"};
  return names;
}

std::optional<std::string> find_tokenizer_file(const std::string& folder) {
  for (const char* name : tokenizer_names) {
    if (const fs::path path = fs::path(folder) / name; is_file(path)) {
      return path.string();
    }
  }
  return std::nullopt;
}

TokenizerFiles load_tokenizer_files(const std::string& path) {
  std::error_code error;
  TokenizerFiles result;
  result.path = path;
  if (fs::is_directory(path, error)) {
    const auto found = find_tokenizer_file(path);
    if (!found) {
      if (is_file(fs::path(path) / "merges.txt")) {
        fail((fs::path(path) / "vocab.json").string(), "no such file; the merges in merges.txt need their vocabulary");
      }
      fail(path, "has no tokenizer (tokenizer.json, tokenizer.model, vocab.json with merges.txt, or meta.pkl)");
    }
    result.path = *found;
  }
  const fs::path file(result.path);
  if (is_file(file)) {
    if (const auto mapped = MappedFile::open(result.path); looks_like_gguf(mapped->bytes())) {
      return load_gguf(*mapped);
    }
  }
  Reader reader;
  const bool is_vocab_json = file.filename() == "vocab.json" || file.filename() == "merges.txt";
  NamedEncoder read = read_encoder(file, reader);
  result.encoder = std::move(read.encoder);
  const SpecialNames names = read_special_names(file.parent_path(), reader, is_vocab_json);
  result.begin = begin_token(*result.encoder, names);
  result.end = end_token(*result.encoder, names);
  result.files = reader.paths();
  for (const std::string& source : result.files) {
    const bool is_first = source == result.files.front();
    result.files_by_name[is_first ? read.name : fs::path(source).filename().string()] = source;
  }
  result.digest = reader.digest();
  return result;
}

}  // namespace hessian::models
