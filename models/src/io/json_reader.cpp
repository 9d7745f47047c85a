#include "io/json_reader.h"

#include <set>
#include <vector>

#include "io/messages.h"

namespace hessian::models {
namespace {

/// Removes the tag "[json.exception.parse_error.101] " of nlohmann's messages, which does not help a user.
std::string without_tag(const std::string& message) {
  const auto end = message.starts_with('[') ? message.find("] ") : std::string::npos;
  return end == std::string::npos ? message : message.substr(end + 2);
}

}  // namespace

nlohmann::json parse_json_object(std::string_view text, const std::string& source, const std::string& what) {
  using Event = nlohmann::json::parse_event_t;
  constexpr int max_depth = 32;
  std::vector<std::set<std::string>> keys;
  const auto check = [&](int depth, Event event, nlohmann::json& parsed) {
    if (depth > max_depth) {
      fail(source, "{} is nested more than {} levels deep", what, max_depth);
    }
    if (event == Event::object_start) {
      keys.emplace_back();
    } else if (event == Event::object_end) {
      keys.pop_back();
    } else if (event == Event::key && !keys.back().insert(parsed.get_ref<const std::string&>()).second) {
      fail(source, "{} has {} twice", what, name_text(parsed.get_ref<const std::string&>()));
    }
    return true;
  };
  try {
    nlohmann::json object = nlohmann::json::parse(text.begin(), text.end(), check);
    if (!object.is_object()) {
      fail(source, "{} is not a JSON object", what);
    }
    return object;
  } catch (const nlohmann::json::exception& error) {
    std::string reason;
    for (const char character : without_tag(error.what()).substr(0, 200)) {
      reason += static_cast<unsigned char>(character) < 0x20 ? ' ' : character;
    }
    fail(source, "{} is not valid JSON: {}", what, reason);
  }
}

std::int64_t json_size(const nlohmann::json& value, const std::string& source, const std::string& what) {
  if (!value.is_number_unsigned() || value.get<std::uint64_t>() > static_cast<std::uint64_t>(INT64_MAX)) {
    fail(source, "{} is {}, expected a non-negative integer", what, json_text(value));
  }
  return value.get<std::int64_t>();
}

std::string json_text(const nlohmann::json& value) {
  constexpr std::size_t longest = 100;
  const std::string text = value.dump(-1, ' ', true, nlohmann::json::error_handler_t::replace);
  return text.size() > longest ? text.substr(0, longest) + "..." : text;
}

}  // namespace hessian::models
