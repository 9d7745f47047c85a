#include "pickle/pickle.h"

#include "io/messages.h"
#include "pickle/pickle_reader.h"

namespace hessian::models {

Pickle Pickle::parse(std::span<const std::byte> bytes, const std::string& source) {
  return read_pickle(bytes, source);
}

bool Pickle::is_dict(NodeId id) const {
  return nodes_[id].kind == Kind::dict || is_call_of(id, "collections OrderedDict");
}

std::optional<Pickle::NodeId> Pickle::find(NodeId dict, std::string_view key) const {
  const auto& entries = nodes_[dict].entries;
  for (std::size_t i = entries.size(); is_dict(dict) && i >= 2; i -= 2) {
    const Node& candidate = nodes_[entries[i - 2]];
    if (candidate.kind == Kind::string && candidate.text == key) {
      return entries[i - 1];
    }
  }
  return std::nullopt;
}

bool Pickle::is_global(NodeId id, std::string_view module_and_name) const {
  return nodes_[id].kind == Kind::global && nodes_[id].text == module_and_name;
}

bool Pickle::is_call_of(NodeId id, std::string_view module_and_name) const {
  const Node& node = nodes_[id];
  return node.kind == Kind::call && is_global(node.items[0], module_and_name) &&
         nodes_[node.items[1]].kind == Kind::tuple;
}

std::span<const Pickle::NodeId> Pickle::arguments(NodeId call) const {
  const Node& node = nodes_[call];
  if (node.kind != Kind::call || nodes_[node.items[1]].kind != Kind::tuple) {
    return {};
  }
  return nodes_[node.items[1]].items;
}

std::string describe(const Pickle& pickle, Pickle::NodeId id) {
  using Kind = Pickle::Kind;
  const Pickle::Node& node = pickle[id];
  switch (node.kind) {
    case Kind::none:
      return "None";
    case Kind::boolean:
      return node.integer != 0 ? "True" : "False";
    case Kind::integer:
      return std::to_string(node.integer);
    case Kind::big_integer:
      return "an integer of more than 64 bits";
    case Kind::real:
      return fmt::format("{}", node.real);
    case Kind::string:
      return "the string " + name_text(node.text);
    case Kind::bytes:
      return "a bytes object";
    case Kind::tuple:
      return "a tuple";
    case Kind::list:
      return "a list";
    case Kind::set:
      return "a set";
    case Kind::dict:
      return "a dict";
    case Kind::global:
      return "the global " + name_text(node.text);
    case Kind::call:
      return pickle[node.items[0]].kind == Kind::global ? "a call of " + name_text(pickle[node.items[0]].text)
                                                        : "a call of an unnamed object";
    case Kind::persistent:
      return "a reference to outside the pickle";
  }
  return "unknown";
}

}  // namespace hessian::models
