#pragma once

#include <string>

namespace hessian::experiments {

/// Formats a number for a table or a sentence.
/// \param format     a format of fmt, such as "{:.4f}"
/// \param otherwise  what stands for a number that is NaN or infinite
std::string number_text(double value, const char* format, const char* otherwise = "not finite");

}  // namespace hessian::experiments
