#include <stdexcept>

#include "spectrum_groups.h"

namespace experiments {

std::vector<GroupSource> parameter_groups(const SpectrumOptions& /*options*/, const ProbeSubject& /*subject*/,
                                          at::Device /*device*/) {
  throw std::logic_error("to come");
}

}  // namespace experiments
