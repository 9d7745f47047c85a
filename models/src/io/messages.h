#pragma once

#include <fmt/format.h>

#include <cstdint>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>

namespace hessian::models {

/// Throws the std::runtime_error of a bad file: "ckpt.pt: no such file".
template <typename... Args>
[[noreturn]] void fail(const std::string& source, fmt::format_string<Args...> format, Args&&... args) {
  throw std::runtime_error(source + ": " + fmt::format(format, std::forward<Args>(args)...));
}

/// Runs a check, and prefixes the message of its exception with the file's name, which the check does not know.
template <typename Check>
decltype(auto) with_source(const std::string& source, const Check& check) {
  try {
    return check();
  } catch (const std::runtime_error& error) {
    fail(source, "{}", error.what());
  }
}

/// Formats a name from a file for a message of one line: in quotes, with everything but printable ASCII replaced, cut
/// to 100 bytes.
std::string name_text(std::string_view name);

/// Formats a shape: "[64, 60]".
std::string shape_text(std::span<const std::int64_t> shape);

}  // namespace hessian::models
