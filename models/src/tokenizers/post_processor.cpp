#include "tokenizers/post_processor.h"

#include <limits>

namespace hessian::models {
namespace {

std::int32_t parse_id(const nlohmann::json& value, const Component& component) {
  const auto id = json_size(value, component.source, "an id of " + component.label());
  if (id > std::numeric_limits<std::int32_t>::max()) {
    fail(component.source, "an id of {} is {}, which is too large", component.label(), id);
  }
  return static_cast<std::int32_t>(id);
}

/// Appends the ids that a template's special token stands for.
void append_special(const Component& component, const std::string& name, TokenIds& ids) {
  const Component tokens{component.at("special_tokens"), component.source, "'special_tokens' of " + component.label()};
  const Component token{tokens.at(name.c_str()), component.source, "the special token " + name_text(name)};
  for (const auto& id : token.list("ids")) {
    ids.push_back(parse_id(id, component));
  }
}

Frame parse_template(const Component& component) {
  Frame frame;
  bool after = false;
  for (const auto& element : component.list("single")) {
    const Component item{element, component.source, "an item of " + component.label()};
    if (item.find("Sequence") != nullptr) {
      after = true;
    } else {
      const Component special{item.at("SpecialToken"), component.source, "a special token of " + component.label()};
      append_special(component, special.text("id"), after ? frame.after : frame.before);
    }
  }
  return frame;
}

/// Reads a token of RobertaProcessing and BertProcessing: its text and its id.
std::int32_t parse_pair(const Component& component, const char* key) {
  const auto& pair = component.list(key);
  if (pair.size() != 2) {
    fail(component.source, "'{}' of {} is {}, expected a token and its id", key, component.label(), json_text(pair));
  }
  return parse_id(pair[1], component);
}

}  // namespace

Frame parse_post_processor(const Component& component) {
  const std::string type = component.type();
  if (type == "ByteLevel") {
    return {};  // changes positions in the text only
  }
  if (type == "TemplateProcessing") {
    return parse_template(component);
  }
  if (type == "RobertaProcessing" || type == "BertProcessing") {
    return {{parse_pair(component, "cls")}, {parse_pair(component, "sep")}};
  }
  if (type == "Sequence") {
    Frame frame;
    for (const auto& element : component.list("processors")) {
      const Frame inner = parse_post_processor(component.child(element));
      frame.before.insert(frame.before.begin(), inner.before.begin(), inner.before.end());
      frame.after.insert(frame.after.end(), inner.after.begin(), inner.after.end());
    }
    return frame;
  }
  component.refuse("ByteLevel, TemplateProcessing, RobertaProcessing, BertProcessing, Sequence");
}

}  // namespace hessian::models
