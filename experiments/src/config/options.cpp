#include "config/options.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <stdexcept>
#include <type_traits>
#include <variant>

#include "hessian/memory.h"

namespace hessian::experiments {
namespace {

/// Returns what is wrong with a number of bytes, or an empty text, for CLI::Option::check.
std::string check_bytes(const std::string& word) {
  try {
    parse_bytes(word);
    return "";
  } catch (const std::invalid_argument& error) {
    return error.what();
  }
}

/// Declares one option. A visitor of ConfigTarget: one call operator per kind of target.
class Declaration {
 public:
  Declaration(CLI::App& app, const ProgramOption& option) : app_(app), option_(option) {}

  CLI::Option* operator()(bool* value) const { return app_.add_flag(flag(), *value, help()); }

  template <class T>
  CLI::Option* operator()(T* value) const {
    CLI::Option* declared = app_.add_option(flag(), *value, help());
    if constexpr (std::is_same_v<T, int64_t>) {
      return *value == 0 ? declared : declared->capture_default_str();
    } else if constexpr (std::is_same_v<T, std::optional<int64_t>>) {
      return declared;
    } else {
      return declared->capture_default_str();
    }
  }

  template <class T>
  CLI::Option* operator()(std::vector<T>* values) const {
    return app_.add_option(flag(), *values, help())->delimiter(',')->capture_default_str();
  }

  CLI::Option* operator()(const WordTarget& target) const {
    CLI::Option* declared = app_.add_option_function<std::string>(flag(), target.set, help());
    if (!option_.bare_word.empty()) {
      declared->expected(0, 1)->default_str(option_.bare_word);
    } else if (const std::string word = target.get(); !word.empty()) {
      declared->default_str(word);
    }
    return declared->check(CLI::IsMember(target.accepted));
  }

  CLI::Option* operator()(const WordListTarget& target) const {
    return app_.add_option_function<std::vector<std::string>>(flag(), target.set, help())
        ->delimiter(',')
        ->default_str("[" + CLI::detail::join(target.get(), ",") + "]");
  }

  CLI::Option* operator()(const BytesTarget& target) const {
    return app_
        .add_option_function<std::string>(
            flag(), [bytes = target.bytes](const std::string& word) { *bytes = parse_bytes(word); }, help())
        ->check(check_bytes);
  }

 private:
  const std::string& flag() const { return option_.flag; }
  const std::string& help() const { return option_.field.help; }

  CLI::App& app_;
  const ProgramOption& option_;
};

}  // namespace

void declare(CLI::App& app, const ProgramOptions& options) {
  for (const ProgramOption& option : options) {
    CLI::Option* declared = std::visit(Declaration(app, option), option.field.target);
    declared->required(option.required);
    if (option.check) {
      declared->check(option.check);
    }
    if (!option.group.empty()) {
      declared->group(option.group);
    }
  }
}

std::string config_section(const std::string& section, const ProgramOptions& options,
                           const std::vector<std::string>& left_out) {
  ConfigFields fields;
  for (const ProgramOption& option : options) {
    const ConfigField& field = option.field;
    if (!field.key.empty() && std::find(left_out.begin(), left_out.end(), field.key) == left_out.end()) {
      fields.push_back({section + "." + field.key, field.target, field.help});
    }
  }
  return write_config(fields);
}

}  // namespace hessian::experiments
