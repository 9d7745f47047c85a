#include "program/program.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <new>
#include <stdexcept>
#include <system_error>

#include "build_info.h"
#include "program/log.h"

namespace hessian::experiments {
namespace {

std::string first_line(const std::string& text) {
  return text.substr(0, text.find('\n'));
}

/// Parses a word as a number. Returns nothing if it contains anything else.
template <class Number>
std::optional<Number> parse_number(const std::string& word) {
  Number value{};
  const char* end = word.data() + word.size();
  const auto [rest, error] = std::from_chars(word.data(), end, value);
  return error == std::errc() && rest == end ? std::optional<Number>(value) : std::nullopt;
}

std::string check_integer_from(int64_t min, const std::string& word) {
  const auto value = parse_number<int64_t>(word);
  return value && *value >= min ? "" : "'" + word + "' is not a whole number from " + std::to_string(min) + " on";
}

/// Abbreviates a commit to seven digits, as git does; keeps "-dirty".
std::string short_commit(const std::string& commit) {
  const std::size_t suffix = commit.find('-');
  return commit.substr(0, std::min<std::size_t>(suffix, 7)) +
         (suffix == std::string::npos ? "" : commit.substr(suffix));
}

bool is_out_of_memory(const std::string& message) {
  return message.find("not enough memory") != std::string::npos || message.find("out of memory") != std::string::npos;
}

}  // namespace

int run_program(const std::string& name, const std::function<int()>& body) {
  set_log_name(name);
  constexpr const char* smaller = "out of memory; give a smaller --memory, --sequences or --seq-len";
  try {
    return body();
  } catch (const std::invalid_argument& error) {
    log_error(error.what());
    return 2;
  } catch (const std::bad_alloc&) {
    log_error(smaller);
  } catch (const std::exception& error) {
    const std::string message = first_line(error.what());
    log_error(is_out_of_memory(message) ? smaller : message);
  }
  return 1;
}

std::optional<int> parse_command_line(CLI::App& app, int argc, const char* const* argv, UsesTorch torch) {
  app.set_version_flag("--version", version_text(app.get_name(), torch), "print the version and exit");
  try {
    app.parse(argc, argv);
    return std::nullopt;
  } catch (const CLI::CallForHelp&) {
    std::fputs(app.help().c_str(), stdout);
    return 0;
  } catch (const CLI::CallForVersion& version) {
    print(std::string(version.what()) + "\n");
    return 0;
  } catch (const CLI::ParseError& error) {
    log_error(first_line(error.what()) + "; see " + app.get_name() + " --help");
    return 2;
  }
}

std::string version_text(const std::string& program, UsesTorch torch) {
  std::string text = program + " " + build_info::version + " (commit " + short_commit(build_info::commit);
  if (torch == UsesTorch::yes) {
    const std::string cuda = build_info::cuda;
    text += std::string(", LibTorch ") + build_info::libtorch + (cuda.empty() ? ", without CUDA" : ", CUDA " + cuda);
  }
  return text + ")";
}

std::string check_positive_integer(const std::string& word) {
  return check_integer_from(1, word);
}

std::string check_natural_number(const std::string& word) {
  return check_integer_from(0, word);
}

std::string check_positive_number(const std::string& word) {
  const auto value = parse_number<double>(word);
  return value && *value > 0 && std::isfinite(*value) ? "" : "'" + word + "' is not a positive number";
}

std::string check_probability(const std::string& word) {
  const auto value = parse_number<double>(word);
  return value && *value > 0 && *value < 1 ? "" : "'" + word + "' is not a number between 0 and 1";
}

std::string check_not_empty(const std::string& word) {
  return word.empty() ? "is empty" : "";
}

void print(const std::string& text) {
  if (std::fwrite(text.data(), 1, text.size(), stdout) != text.size() || std::fflush(stdout) != 0) {
    throw std::runtime_error("stdout: the result cannot be printed: " + std::generic_category().message(errno));
  }
}

std::string quoted_word(const std::string& word) {
  if (!word.empty() && word.find_first_of(" \t\n'\"\\$&|;<>()*?[]#~`!{}") == std::string::npos) {
    return word;
  }
  std::string quoted = "'";
  for (const char c : word) {
    quoted += c == '\'' ? std::string("'\\''") : std::string(1, c);
  }
  return quoted + "'";
}

std::string join_command_line(int argc, const char* const* argv) {
  std::string line;
  for (int i = 0; i < argc; ++i) {
    line += (i == 0 ? "" : " ") + quoted_word(argv[i]);
  }
  return line;
}

}  // namespace hessian::experiments
