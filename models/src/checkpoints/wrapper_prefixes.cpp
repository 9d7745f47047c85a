#include "checkpoints/wrapper_prefixes.h"

#include <algorithm>
#include <array>
#include <string_view>

namespace hessian::models {

std::string without_wrapper_prefixes(const std::string& name) {
  constexpr std::array<std::string_view, 3> wrappers = {"_orig_mod.", "_fsdp_wrapped_module.",
                                                        "_checkpoint_wrapped_module."};
  constexpr std::string_view module = "module.";  // elsewhere it could be a part of the model
  std::string result;
  for (std::string_view rest = name; !rest.empty();) {
    const std::string_view component = rest.substr(0, rest.find('.') + 1);  // with its dot; empty for the last one
    if (component.empty()) {
      return result.append(rest);
    }
    const bool wrapper =
        std::ranges::find(wrappers, component) != wrappers.end() || (result.empty() && component == module);
    if (!wrapper) {
      result += component;
    }
    rest.remove_prefix(component.size());
  }
  return result;
}

}  // namespace hessian::models
