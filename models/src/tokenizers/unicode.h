#pragma once

#include <string>
#include <string_view>

namespace hessian::models {

/// Properties and transformations of Unicode text, by ICU. All texts are well-formed UTF-8.

enum class NormalizationForm { nfc, nfd, nfkc, nfkd };

/// Returns the text in a normalization form.
std::string normalized(std::string_view text, NormalizationForm form);

/// Returns the text with every code point in lower case, regardless of the code points around it.
std::string lower_case(std::string_view text);

/// Whether normalization (NFKC) treats a code point alone, regardless of the code points around it.
bool is_normalized_alone(char32_t code_point);

bool is_whitespace(char32_t code_point);   ///< the property White_Space
bool is_numeric(char32_t code_point);      ///< general categories Nd, Nl, No
bool is_punctuation(char32_t code_point);  ///< general categories P*, and all symbols of ASCII
bool is_word(char32_t code_point);         ///< letters, marks, decimal digits, connectors, joiners

/// Returns the name by which PCRE2 knows a property: general categories by their short names, scripts with "sc:", which
/// excludes script extensions. Other names are returned as they are.
std::string short_property_name(const std::string& name);

}  // namespace hessian::models
