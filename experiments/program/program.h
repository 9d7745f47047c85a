#pragma once

#include <functional>
#include <optional>
#include <string>

namespace CLI {
class App;
}

namespace hessian::experiments {

/// Runs the body of a program and turns what it throws into one line on stderr and an exit status: 2 for
/// std::invalid_argument (the command line is wrong), 1 for anything else. Of messages with several lines, as
/// LibTorch's with their stack traces, the first is printed.
/// \return  the body's own status if it throws nothing
int run_program(const std::string& name, const std::function<int()>& body);

/// Parses the command line. Help goes to stdout; what is wrong goes to stderr as one line, which names the option and
/// what it takes.
/// \return  nothing if the program is to go on, otherwise its exit status: 0 after help, 2 after an error
std::optional<int> parse_command_line(CLI::App& app, int argc, const char* const* argv);

/// Checks for CLI::Option::check, which say in few words what the option takes: nothing is wrong with a word if they
/// return an empty text.
std::string check_positive_integer(const std::string& word);
std::string check_natural_number(const std::string& word);  ///< 0 too
std::string check_positive_number(const std::string& word);
std::string check_not_empty(const std::string& word);

/// Writes to stdout.
/// \throws std::runtime_error  if it does not take the text, as on a full disk
void print(const std::string& text);

/// A word as a shell would take it, in quotes where it needs them.
std::string quoted_word(const std::string& word);

/// The command line as a shell would take it.
std::string join_command_line(int argc, const char* const* argv);

/// Commit of the sources that the program was built from, with "-dirty" for changed ones; "unknown" outside a checkout.
std::string git_commit();

}  // namespace hessian::experiments
