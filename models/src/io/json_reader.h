#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

namespace hessian::models {

/// Parses one JSON object strictly: no repeated keys, at most 32 levels.
/// \param source, what  the file's name and the section of it ("the header"), for messages
/// \throws std::runtime_error  one line
nlohmann::json parse_json_object(std::string_view text, const std::string& source, const std::string& what);

/// Reads an integer in [0, 2^63).
/// \throws std::runtime_error  "config.json: 'n_layer' is \"two\", expected a non-negative integer"
std::int64_t json_size(const nlohmann::json& value, const std::string& source, const std::string& what);

/// Formats a value for a message: JSON on one line, cut to a readable length.
std::string json_text(const nlohmann::json& value);

}  // namespace hessian::models
