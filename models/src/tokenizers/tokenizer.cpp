#include "hessian/models/tokenizer.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <exception>
#include <filesystem>
#include <mutex>
#include <thread>
#include <utility>

#include "io/messages.h"
#include "io/utf8.h"
#include "tokenizers/tokenizer_files.h"

namespace hessian::models {
namespace {

/// Caches of words that no thread is using at present.
class IdleCaches {
 public:
  std::unique_ptr<WordCache> take() {
    const std::scoped_lock lock(mutex_);
    if (caches_.empty()) {
      return std::make_unique<WordCache>();
    }
    auto cache = std::move(caches_.back());
    caches_.pop_back();
    return cache;
  }

  void give_back(std::unique_ptr<WordCache> cache) {
    const std::scoped_lock lock(mutex_);
    caches_.push_back(std::move(cache));
  }

 private:
  std::mutex mutex_;
  std::vector<std::unique_ptr<WordCache>> caches_;
};

class ByteEncoder : public Encoder {
 public:
  void encode(std::string_view text, TokenIds& ids, WordCache& /*cache*/) const override {
    for (const char byte : text) {
      ids.push_back(static_cast<unsigned char>(byte));
    }
  }

  std::string decode(std::span<const std::int32_t> ids) const override {
    std::string text;
    for (const std::int32_t id : ids) {
      if (id < 0 || id >= vocab_size()) {
        throw std::runtime_error(fmt::format("the id {} is not a byte", id));
      }
      text += static_cast<char>(id);
    }
    return text;
  }

  std::int64_t vocab_size() const override { return 256; }
  std::optional<std::int32_t> find(std::string_view /*token*/) const override { return std::nullopt; }
  std::optional<std::int32_t> end_token() const override { return '\n'; }
  std::string kind() const override { return "bytes"; }
};

}  // namespace

struct Tokenizer::Content {
  TokenizerFiles files;
  std::string description;
  mutable IdleCaches caches;
};

Tokenizer::Tokenizer(std::shared_ptr<const Content> content) : content_(std::move(content)) {}

Tokenizer Tokenizer::load(const std::string& path) {
  auto content = std::make_shared<Content>();
  content->files = load_tokenizer_files(path);
  content->description = fmt::format("{} ({})", std::filesystem::path(content->files.path).filename().string(),
                                     content->files.encoder->kind());
  return Tokenizer(std::move(content));
}

Tokenizer Tokenizer::bytes() {
  auto content = std::make_shared<Content>();
  content->files.encoder = std::make_unique<ByteEncoder>();
  content->files.path = content->files.encoder->kind();
  content->files.end = content->files.encoder->end_token();
  content->description = content->files.encoder->kind();
  return Tokenizer(std::move(content));
}

std::optional<std::string> Tokenizer::find(const std::string& folder) {
  return find_tokenizer_file(folder);
}

std::vector<std::int32_t> Tokenizer::encode(std::string_view text) const {
  if (const auto invalid = first_invalid_utf8(std::as_bytes(std::span(text))); invalid != text.size()) {
    throw std::runtime_error(
        fmt::format("not UTF-8 text (byte {} is 0x{:02x})", invalid, static_cast<unsigned char>(text[invalid])));
  }
  std::vector<std::int32_t> ids;
  auto cache = content_->caches.take();
  content_->files.encoder->encode(text, ids, *cache);
  content_->caches.give_back(std::move(cache));
  return ids;
}

std::vector<std::int32_t> Tokenizer::encode_with_special(std::string_view text) const {
  const Frame frame = content_->files.encoder->frame();
  std::vector<std::int32_t> ids = frame.before;
  const std::vector<std::int32_t> inner = encode(text);
  ids.insert(ids.end(), inner.begin(), inner.end());
  ids.insert(ids.end(), frame.after.begin(), frame.after.end());
  return ids;
}

std::vector<std::vector<std::int32_t>> Tokenizer::encode_all(std::span<const std::string_view> texts,
                                                             std::size_t threads) const {
  std::vector<std::vector<std::int32_t>> result(texts.size());
  std::vector<std::exception_ptr> errors(texts.size());
  std::atomic<std::size_t> next = 0;
  const auto work = [&] {
    for (std::size_t i = next++; i < texts.size(); i = next++) {
      try {
        result[i] = encode(texts[i]);
      } catch (...) {
        errors[i] = std::current_exception();
      }
    }
  };
  const std::size_t wanted = threads == 0 ? std::thread::hardware_concurrency() : threads;
  const std::size_t count = std::clamp<std::size_t>(wanted, 1, std::max<std::size_t>(texts.size(), 1));
  {
    std::vector<std::jthread> others;
    for (std::size_t i = 1; i < count; ++i) {
      others.emplace_back(work);
    }
    work();
  }
  for (const auto& error : errors) {
    if (error) {
      std::rethrow_exception(error);
    }
  }
  return result;
}

std::string Tokenizer::decode(std::span<const std::int32_t> ids) const {
  return content_->files.encoder->decode(ids);
}

std::int64_t Tokenizer::vocab_size() const {
  return content_->files.encoder->vocab_size();
}

std::optional<std::int32_t> Tokenizer::begin_token() const {
  return content_->files.begin;
}

std::optional<std::int32_t> Tokenizer::end_token() const {
  return content_->files.end;
}

const std::string& Tokenizer::path() const {
  return content_->files.path;
}

const std::string& Tokenizer::description() const {
  return content_->description;
}

const std::vector<std::string>& Tokenizer::files() const {
  return content_->files.files;
}

const std::map<std::string, std::string>& Tokenizer::files_by_name() const {
  return content_->files.files_by_name;
}

std::uint64_t Tokenizer::digest() const {
  return content_->files.digest;
}

}  // namespace hessian::models
