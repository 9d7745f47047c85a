#include "content/layer_groups.h"

#include <algorithm>
#include <charconv>
#include <system_error>

namespace hessian::analysis {

GroupName parse_group_name(const std::string& name) {
  const std::string separators = "-.";
  for (std::size_t start = 0; start < name.size();) {
    const std::size_t end = std::min(name.find_first_of(separators, start), name.size());
    int64_t layer = 0;
    const auto [last, error] = std::from_chars(name.data() + start, name.data() + end, layer);
    if (error == std::errc() && last == name.data() + end && layer >= 0 && start > 0) {
      return {name.substr(0, start - 1) + name.substr(end), layer};
    }
    start = end + 1;
  }
  return {name, std::nullopt};
}

std::string file_part(std::string name) {
  std::replace(name.begin(), name.end(), '/', '-');
  return name;
}

}  // namespace hessian::analysis
