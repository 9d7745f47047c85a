#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "pickle/pickle.h"

namespace hessian::models {

/// The memory of pickle's stack machine, with nodes in place of Python objects: the stack, its marks, and the memo.
/// Every operation checks that its operands exist.
class PickleStack {
 public:
  using NodeId = Pickle::NodeId;
  using Kind = Pickle::Kind;

  explicit PickleStack(const std::string& source) : source_(source) {}

  /// Sets the position of the current opcode in the pickle, for messages.
  void set_position(std::size_t position) { position_ = position; }

  void push(NodeId id) { stack_.push_back(id); }
  Pickle::Node& push_new(Kind kind);
  void push_group(Kind kind, std::vector<NodeId> items) { push_new(kind).items = std::move(items); }
  void push_integer(std::int64_t value) { push_new(Kind::integer).integer = value; }
  void push_global(const std::string& module, const std::string& name) {
    push_new(Kind::global).text = module + " " + name;
  }

  NodeId top() const;
  NodeId pop();
  std::vector<NodeId> pop_count(std::size_t count);
  void push_mark() { marks_.push_back(stack_.size()); }
  /// Pops everything since the last mark, and the mark.
  std::vector<NodeId> pop_to_mark();
  /// Pops the mark if it was pushed last, otherwise a value, as CPython's POP does.
  void pop_value_or_mark();

  /// Stores the top in the memo under an index, or under the next free one.
  void memoize(std::uint64_t index);
  void memoize_next() { memoize(memo_.size()); }
  void recall(std::uint64_t index);

  /// Appends to the list, the set, or the object under construction at the top.
  void append(const std::vector<NodeId>& values);
  /// Stores keys and values in the dict or the object under construction at the top.
  void store(const std::vector<NodeId>& entries);
  /// Adds a state to the object at the top.
  void build(NodeId state);

  const Pickle::Node& operator[](NodeId id) const { return pickle_[id]; }

  /// Returns the finished graph, whose root is the only value left.
  Pickle finish();

  [[noreturn]] void damaged(const char* reason) const;

 private:
  const std::string& source_;
  std::size_t position_ = 0;
  Pickle pickle_;
  std::vector<NodeId> stack_;
  std::vector<std::size_t> marks_;        ///< heights of the stack
  std::map<std::uint64_t, NodeId> memo_;  ///< a hostile file could make the keys of a hash table collide
};

}  // namespace hessian::models
