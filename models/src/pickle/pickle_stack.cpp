#include "pickle/pickle_stack.h"

#include <algorithm>
#include <utility>

#include "io/messages.h"

namespace hessian::models {
namespace {

constexpr std::size_t max_nodes = 2'000'000;

}  // namespace

Pickle::Node& PickleStack::push_new(Kind kind) {
  if (pickle_.nodes_.size() == max_nodes) {
    fail(source_, "the pickle holds more than the {} values that are read here", max_nodes);
  }
  push(static_cast<NodeId>(pickle_.nodes_.size()));
  Pickle::Node& node = pickle_.nodes_.emplace_back();
  node.kind = kind;
  return node;
}

Pickle::NodeId PickleStack::top() const {
  if (stack_.size() <= (marks_.empty() ? 0 : marks_.back())) {
    damaged("the stack is empty");
  }
  return stack_.back();
}

Pickle::NodeId PickleStack::pop() {
  const NodeId id = top();
  stack_.pop_back();
  return id;
}

std::vector<Pickle::NodeId> PickleStack::pop_count(std::size_t count) {
  std::vector<NodeId> taken(count);
  std::generate(taken.rbegin(), taken.rend(), [this] { return pop(); });
  return taken;
}

std::vector<Pickle::NodeId> PickleStack::pop_to_mark() {
  if (marks_.empty()) {
    damaged("there is no mark");
  }
  const auto first = stack_.begin() + static_cast<std::ptrdiff_t>(marks_.back());
  std::vector<NodeId> taken(first, stack_.end());
  stack_.erase(first, stack_.end());
  marks_.pop_back();
  return taken;
}

void PickleStack::pop_value_or_mark() {
  if (!marks_.empty() && marks_.back() == stack_.size()) {
    marks_.pop_back();
  } else {
    pop();
  }
}

void PickleStack::memoize(std::uint64_t index) {
  memo_[index] = top();
  if (memo_.size() > max_nodes) {
    damaged("it remembers more values than it can have");
  }
}

void PickleStack::recall(std::uint64_t index) {
  const auto found = memo_.find(index);
  if (found == memo_.end()) {
    damaged("it refers to a value that is not there");
  }
  push(found->second);
}

void PickleStack::append(const std::vector<NodeId>& values) {
  Pickle::Node& node = pickle_.nodes_[top()];
  if (node.kind != Kind::list && node.kind != Kind::set && node.kind != Kind::call) {
    damaged("values are appended to something that is no list");
  }
  auto& place = node.kind == Kind::call ? node.entries : node.items;
  place.insert(place.end(), values.begin(), values.end());
}

void PickleStack::store(const std::vector<NodeId>& entries) {
  Pickle::Node& node = pickle_.nodes_[top()];
  if (node.kind != Kind::dict && node.kind != Kind::call) {
    damaged("keys are stored in something that is no dict");
  }
  if (entries.size() % 2 != 0) {
    damaged("a key has no value");
  }
  node.entries.insert(node.entries.end(), entries.begin(), entries.end());
}

void PickleStack::build(NodeId state) {
  Pickle::Node& object = pickle_.nodes_[top()];
  if (object.kind != Kind::call) {
    damaged("a state is given to something that is no object");
  }
  object.items.push_back(state);
}

Pickle PickleStack::finish() {
  if (stack_.size() != 1 || !marks_.empty()) {
    damaged("it ends too early");
  }
  pickle_.root_ = stack_.front();
  return std::move(pickle_);
}

void PickleStack::damaged(const char* reason) const {
  fail(source_, "the pickle is damaged at byte {}: {}", position_, reason);
}

}  // namespace hessian::models
