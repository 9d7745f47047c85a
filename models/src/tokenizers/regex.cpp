#include "tokenizers/regex.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <new>

#include "io/messages.h"

namespace hessian::models {
namespace {

std::string pcre2_message(int error) {
  std::string text(256, '\0');
  const int length = pcre2_get_error_message(error, reinterpret_cast<PCRE2_UCHAR*>(text.data()), text.size());
  text.resize(length > 0 ? static_cast<std::size_t>(length) : 0);
  return text;
}

/// The memory of one thread's searches.
class Workspace {
 public:
  Workspace()
      : match_(pcre2_match_data_create(1, nullptr)),
        context_(pcre2_match_context_create(nullptr)),
        stack_(pcre2_jit_stack_create(first_stack_bytes, max_stack_bytes, nullptr)) {
    if (match_ == nullptr || context_ == nullptr || stack_ == nullptr) {
      throw std::bad_alloc();
    }
    pcre2_jit_stack_assign(context_, nullptr, stack_);
    pcre2_set_match_limit(context_, max_steps);
  }
  Workspace(const Workspace&) = delete;
  Workspace& operator=(const Workspace&) = delete;
  ~Workspace() {
    pcre2_jit_stack_free(stack_);
    pcre2_match_context_free(context_);
    pcre2_match_data_free(match_);
  }

  pcre2_match_data* match() const { return match_; }
  pcre2_match_context* context() const { return context_; }

 private:
  static constexpr std::size_t first_stack_bytes = std::size_t{32} << 10U;
  static constexpr std::size_t max_stack_bytes = std::size_t{64} << 20U;
  // Enough for one match over a text of megabytes; a pattern that backtracks exponentially stops within seconds.
  static constexpr std::uint32_t max_steps = 100'000'000;

  pcre2_match_data* match_;
  pcre2_match_context* context_;
  pcre2_jit_stack* stack_;
};

const Workspace& workspace() {
  thread_local const Workspace of_this_thread;
  return of_this_thread;
}

}  // namespace

struct Regex::Code {
  pcre2_code* code = nullptr;
  std::string pattern;
  std::string source;

  Code() = default;
  Code(const Code&) = delete;
  Code& operator=(const Code&) = delete;
  ~Code() { pcre2_code_free(code); }
};

Regex::Regex(std::string_view pattern, RegexSyntax syntax, const std::string& source) {
  const auto compiled = std::make_shared<Code>();
  compiled->pattern = pattern;
  compiled->source = source;
  const auto refuse = [&](const std::string& reason) {
    fail(source, "the regular expression {} is not supported: {}", name_text(pattern), reason);
  };
  std::string translated;
  try {
    translated = pcre2_pattern(pattern, syntax);
  } catch (const std::runtime_error& error) {
    refuse(error.what());
  }
  std::uint32_t options = PCRE2_UTF | PCRE2_UCP | PCRE2_NEVER_BACKSLASH_C;
  // In Oniguruma ^ and $ match at every line, in Rust at the ends of the text.
  options |= syntax == RegexSyntax::oniguruma ? PCRE2_MULTILINE : PCRE2_DOLLAR_ENDONLY;
  int error = 0;
  std::size_t position = 0;
  compiled->code = pcre2_compile(reinterpret_cast<PCRE2_SPTR>(translated.data()), translated.size(), options, &error,
                                 &position, nullptr);
  if (compiled->code == nullptr) {
    refuse(pcre2_message(error));
  }
  // Without machine code, which some processors lack, the interpreter runs instead.
  pcre2_jit_compile(compiled->code, PCRE2_JIT_COMPLETE);
  code_ = compiled;
}

std::optional<Regex::Match> Regex::find(std::string_view text, std::size_t from) const {
  const Workspace& memory = workspace();
  const int found = pcre2_match(code_->code, reinterpret_cast<PCRE2_SPTR>(text.data()), text.size(), from,
                                PCRE2_NO_UTF_CHECK, memory.match(), memory.context());
  if (found == PCRE2_ERROR_NOMATCH) {
    return std::nullopt;
  }
  if (found < 0) {
    fail(code_->source, "the regular expression {} cannot be matched at byte {} of a text: {}",
         name_text(code_->pattern), from, pcre2_message(found));
  }
  const std::size_t* bounds = pcre2_get_ovector_pointer(memory.match());
  return Match{bounds[0], bounds[1]};
}

}  // namespace hessian::models
