#pragma once

#include <functional>
#include <string>
#include <vector>

#include "hessian/program.h"

namespace hessian {

/// Returns the names of the parameters that a primitive reads.
std::vector<std::string> parameter_names(const Operation& operation);

/// Returns the names of the parameters that a primitive reads as a whole: all but the table of an embedding, of which it
/// reads rows.
std::vector<std::string> whole_parameters(const Operation& operation);

/// Returns per step whether the output depends on it, if the values for which `is_given` holds are not computed.
std::vector<bool> needed_steps(const Program& program, const std::function<bool(ValueId)>& is_given);

/// Returns per value the last needed step that reads it, after which its memory can be released; 0 if no step does.
std::vector<std::size_t> last_uses(const Program& program, const std::vector<bool>& needed);

/// Returns per step whether SimpleNorm starts there: a linear map without a bias whose result is read by the RMSNorm in
/// the next step and by nothing else. Both can be computed as one.
std::vector<bool> simple_norms(const Program& program, const std::vector<bool>& needed);

/// Returns per step whether the five steps of SimpleNorm, SimpleNorm, SiluGate start there and their intermediate values
/// have no other reader. All five can be computed as one.
std::vector<bool> simple_norm_gates(const Program& program, const std::vector<bool>& needed);

}  // namespace hessian
