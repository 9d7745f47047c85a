#pragma once

#include <string>

namespace hessian::experiments {

/// Formats a number for a table or a sentence; one that is NaN or infinite becomes "not finite".
/// \param format  a format of fmt, such as "{:.4f}"
std::string number_text(double value, const char* format);

}  // namespace hessian::experiments
