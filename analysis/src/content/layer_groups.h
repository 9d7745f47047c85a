#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace hessian::analysis {

/// The parsed name of a group of matrices: `residual-3` is layer 3 of the kind `residual`, `layers.3.attention` is
/// layer 3 of `layers.attention`. A name without a number is a separate kind.
struct GroupName {
  std::string kind;
  std::optional<int64_t> layer;
};

GroupName parse_group_name(const std::string& name);

/// Returns the name with `/` replaced, for use in a file name.
std::string file_part(std::string name);

/// Groups of one kind by layer.
template <class Group>
using LayerGroups = std::map<int64_t, const Group*>;

/// Returns the groups (anything with a `name`) that belong to a layer, by kind and layer. Points into `groups`.
template <class Group>
std::map<std::string, LayerGroups<Group>> by_kind_and_layer(const std::vector<Group>& groups) {
  std::map<std::string, LayerGroups<Group>> kinds;
  for (const Group& group : groups) {
    const GroupName name = parse_group_name(group.name);
    if (name.layer) {
      kinds[name.kind].emplace(*name.layer, &group);
    }
  }
  return kinds;
}

}  // namespace hessian::analysis
