#pragma once

#include <string>

namespace hessian::experiments {

/// Sets the program name that messages begin with: "hessian-probe: warning: ...". Messages go to stderr.
void set_log_name(const std::string& program);

void log_note(const std::string& message);
void log_warning(const std::string& message);
void log_error(const std::string& message);

}  // namespace hessian::experiments
