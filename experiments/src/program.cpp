#include "experiments/program.h"

#include <c10/util/Exception.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <exception>
#include <new>
#include <stdexcept>

#include "experiments/log.h"
#include "git_commit.h"

namespace experiments {
namespace {

/// LibTorch's messages carry a stack trace and may have several lines; the first says what happened.
std::string first_line(const std::string& text) {
  return text.substr(0, text.find('\n'));
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
  } catch (const c10::Error& error) {
    const std::string message = first_line(error.what_without_backtrace());
    log_error(is_out_of_memory(message) ? smaller : message);
  } catch (const std::bad_alloc&) {
    log_error(smaller);
  } catch (const std::exception& error) {
    log_error(first_line(error.what()));
  }
  return 1;
}

std::optional<int> parse_command_line(CLI::App& app, int argc, const char* const* argv) {
  try {
    app.parse(argc, argv);
    return std::nullopt;
  } catch (const CLI::CallForHelp&) {
    std::fputs(app.help().c_str(), stdout);
    return 0;
  } catch (const CLI::ParseError& error) {
    log_error(first_line(error.what()) + "; see " + app.get_name() + " --help");
    return 2;
  }
}

std::string join_command_line(int argc, const char* const* argv) {
  std::string line;
  for (int i = 0; i < argc; ++i) {
    const std::string word = argv[i];
    line += i == 0 ? "" : " ";
    if (!word.empty() && word.find_first_of(" \t\n'\"\\$&|;<>()*?[]#~`!{}") == std::string::npos) {
      line += word;
      continue;
    }
    line += '\'';
    for (const char c : word) {
      line += c == '\'' ? std::string("'\\''") : std::string(1, c);
    }
    line += '\'';
  }
  return line;
}

std::string git_commit() {
  return built_from_commit;
}

}  // namespace experiments
