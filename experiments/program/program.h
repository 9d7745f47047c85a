#pragma once

#include <functional>
#include <optional>
#include <string>

namespace CLI {
class App;
}

namespace hessian::experiments {

/// Runs the body of a program and turns an exception into one line on stderr and an exit status: 2 for
/// std::invalid_argument (the command line is wrong), 1 for anything else. Prints only the first line of a message,
/// because those of LibTorch continue with a stack trace.
/// \return  the body's own status if it throws nothing
int run_program(const std::string& name, const std::function<int()>& body);

/// Whether a program uses LibTorch; if it does, --version prints LibTorch's version, too.
enum class UsesTorch { no, yes };

/// Adds the option --version and parses the command line. Help and version go to stdout; errors go to stderr as one
/// line, which names the option and what it takes.
/// \return  nothing if the program should run, otherwise its exit status: 0 after help or version, 2 after an error
std::optional<int> parse_command_line(CLI::App& app, int argc, const char* const* argv,
                                      UsesTorch torch = UsesTorch::yes);

/// Returns the line that --version prints: "hessian-probe 0.1.0 (commit 1a2b3c4, LibTorch 2.11.0, CUDA 13.0)". A build
/// without CUDA says "without CUDA"; a program without LibTorch names neither LibTorch nor CUDA.
std::string version_text(const std::string& program, UsesTorch torch);

/// Checks a word, for use with CLI::Option::check. Returns an empty text if it is valid, otherwise what is wrong with
/// it.
std::string check_positive_integer(const std::string& word);
std::string check_natural_number(const std::string& word);  ///< 0 included
std::string check_positive_number(const std::string& word);
std::string check_probability(const std::string& word);  ///< 0 and 1 excluded
std::string check_not_empty(const std::string& word);

/// Writes to stdout.
/// \throws std::runtime_error  if that fails, as on a full disk
void print(const std::string& text);

/// Quotes a word for a shell if necessary.
std::string quoted_word(const std::string& word);

/// Joins the words of a command line, quoted for a shell.
std::string join_command_line(int argc, const char* const* argv);

}  // namespace hessian::experiments
