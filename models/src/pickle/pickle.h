#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace hessian::models {

/// The contents of a pickle as a graph of plain values. Nothing is imported or called: a class or a function is a node
/// with its name, and a call is a node with the callee and the arguments, which the reader may or may not understand.
///
/// Nodes are stored in one vector and refer to each other by index, so cycles in the pickle are harmless, and neither
/// depth nor sharing costs stack or memory. Code that walks the graph must bound the number of its steps.
class Pickle {
 public:
  using NodeId = std::uint32_t;

  enum class Kind {
    none,
    boolean,      ///< integer is 0 or 1
    integer,      ///< integer
    big_integer,  ///< text: two's complement, little-endian, more than 8 bytes
    real,         ///< real
    string,       ///< text, UTF-8 as the pickle has it
    bytes,        ///< text; bytes and bytearray
    tuple,        ///< items
    list,         ///< items
    set,          ///< items; set and frozenset
    dict,         ///< entries: key, value, key, value, ...
    global,       ///< text: "module name", with one space between
    call,         ///< items: callee, arguments, then any states given by BUILD; appended values follow in `entries`
    persistent,   ///< items: the persistent id
  };

  struct Node {
    Kind kind = Kind::none;
    std::int64_t integer = 0;
    double real = 0;
    std::string text;
    std::vector<NodeId> items;
    std::vector<NodeId> entries;  ///< of a dict or of a dict-like call (OrderedDict): key, value, ...
  };

  /// Reads the opcodes of protocols 2 to 5, up to STOP.
  /// \param source  the file's name, for the messages
  /// \throws std::runtime_error  one line with the byte's position, for anything else
  /// Limits: 32 MiB of pickle and 2 million nodes, which is a hundred times what a 70B model needs.
  static Pickle parse(std::span<const std::byte> bytes, const std::string& source);

  NodeId root() const { return root_; }
  const Node& operator[](NodeId id) const { return nodes_[id]; }
  std::size_t size() const { return nodes_.size(); }

  /// Returns whether the node is a dict or an OrderedDict.
  bool is_dict(NodeId id) const;
  /// Returns the value of a string key in a dict; the last one if a key occurs twice, as in Python.
  std::optional<NodeId> find(NodeId dict, std::string_view key) const;
  /// Returns whether the node is the global "module name".
  bool is_global(NodeId id, std::string_view module_and_name) const;
  /// Returns whether the node is a call of that global, with arguments in a tuple.
  bool is_call_of(NodeId id, std::string_view module_and_name) const;
  /// Returns the arguments of a call whose arguments are a tuple; empty otherwise.
  std::span<const NodeId> arguments(NodeId call) const;

 private:
  friend class PickleStack;
  std::vector<Node> nodes_;
  NodeId root_ = 0;
};

/// Describes a node for a message: "a dict", "a call of builtins print".
std::string describe(const Pickle& pickle, Pickle::NodeId id);

}  // namespace hessian::models
