#pragma once

#include <functional>
#include <string>
#include <vector>

#include "hessian/program.h"

namespace hessian {

/// The parameters that a primitive reads, in the order of its members; an empty name where it has none.
std::vector<std::string> parameter_names(const Operation& operation);

/// Which steps the output needs, given that some values are not computed but given.
std::vector<bool> needed_steps(const Program& program, const std::function<bool(ValueId)>& is_given);

/// The last step that reads each value, so that its memory can go as soon as that step is done; 0 where none does.
std::vector<std::size_t> last_uses(const Program& program, const std::vector<bool>& needed);

/// Which steps are linear maps without a bias whose result the RMSNorm in the next step reads, and nothing else does:
/// SimpleNorm, which can be computed as one.
std::vector<bool> simple_norms(const Program& program, const std::vector<bool>& needed);

/// Which of these begin five steps that are a gate of two of them, whose results nothing else reads.
std::vector<bool> simple_norm_gates(const Program& program, const std::vector<bool>& needed);

/// The parameters that a primitive reads whole: all that it has, but for an embedding's table, of which it reads rows.
std::vector<std::string> whole_parameters(const Operation& operation);

}  // namespace hessian
