#pragma once

#include <cerrno>
#include <string>
#include <system_error>

namespace hessian::models {

/// Returns the meaning of an errno value, as the system's tools print it: "No space left on device".
inline std::string system_error_text(int error) {
  return std::generic_category().message(error);
}

/// Returns system_error_text() of an error met while writing, with a remedy if there is an obvious one:
/// "No space left on device; free some space or write elsewhere".
inline std::string write_error_text(int error) {
  std::string text = system_error_text(error);
  switch (error) {
    case ENOSPC:
      return text + "; free some space or write elsewhere";
    case EDQUOT:
      return text + "; free some of the quota or write elsewhere";
    case EFBIG:
      return text + "; raise the limit on file sizes (ulimit -f) or write elsewhere";
    case EROFS:
    case EACCES:
    case EPERM:
      return text + "; write elsewhere or change the permissions";
    default:
      return text;
  }
}

}  // namespace hessian::models
