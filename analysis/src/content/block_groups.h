#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace hessian::analysis {

/// What the name of a group of matrices says: `residual-3` is block 3 of the kind `residual`, `layers.3.attention` block
/// 3 of `layers.attention`. Names without a number are a kind of their own.
struct GroupName {
  std::string kind;
  std::optional<int64_t> block;
};

GroupName parse_group_name(const std::string& name);

/// A name as a part of a file name.
std::string file_part(std::string name);

/// Groups (anything with a `name`) of each kind, by block.
template <class Group>
std::map<std::string, std::map<int64_t, const Group*>> by_kind_and_block(const std::vector<Group>& groups) {
  std::map<std::string, std::map<int64_t, const Group*>> kinds;
  for (const Group& group : groups) {
    const GroupName name = parse_group_name(group.name);
    if (name.block) {
      kinds[name.kind].emplace(*name.block, &group);
    }
  }
  return kinds;
}

}  // namespace hessian::analysis
