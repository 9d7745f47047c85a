#pragma once

// Functions that return the message with which code refuses its input. Needs no LibTorch.

#include <gtest/gtest.h>

#include <optional>
#include <stdexcept>
#include <string>

namespace hessian::support {

/// Runs `action` and returns the message of the Exception that it throws; nothing if it returns. Exceptions of other
/// types pass through, which fails the test. Use it for input that may be accepted or refused, such as damaged files,
/// and refusal_of() otherwise.
template <class Exception = std::runtime_error, class Action>
std::optional<std::string> possible_refusal(const Action& action) {
  try {
    action();
  } catch (const Exception& error) {
    return error.what();
  }
  return std::nullopt;
}

/// Returns the message of the Exception that `action` throws. The test fails if nothing or another type is thrown, or if
/// the message has more than one line.
template <class Exception = std::runtime_error, class Action>
std::string refusal_of(const Action& action) {
  const std::optional<std::string> message = possible_refusal<Exception>(action);
  if (!message) {
    ADD_FAILURE() << "expected an exception, but none was thrown";
    return "";
  }
  EXPECT_EQ(message->find('\n'), std::string::npos) << "more than one line: " << *message;
  return *message;
}

/// Returns `message` without the prefix. The test fails if it has another beginning.
inline std::string without_prefix(const std::string& message, const std::string& prefix) {
  if (!message.starts_with(prefix)) {
    ADD_FAILURE() << "'" << message << "' does not begin with '" << prefix << "'";
    return message;
  }
  return message.substr(prefix.size());
}

/// Returns the message `path: ...` of the Exception that `action` throws, without the path.
template <class Exception = std::runtime_error, class Action>
std::string refusal_about(const std::string& path, const Action& action) {
  return without_prefix(refusal_of<Exception>(action), path + ": ");
}

}  // namespace hessian::support
