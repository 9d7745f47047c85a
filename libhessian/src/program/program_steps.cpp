#include "program/program_steps.h"

#include <algorithm>
#include <utility>

namespace hessian {

ValueId Program::append(const Program& other, const std::vector<ValueId>& other_inputs, const std::string& prefix) {
  const auto begin = static_cast<ValueId>(steps.size());
  const auto moved = [&](ValueId value) {
    return value < other.n_inputs ? other_inputs.at(static_cast<std::size_t>(value))
                                  : value - other.n_inputs + n_inputs + begin;
  };
  for (const Step& step : other.steps) {
    std::vector<ValueId> inputs;
    for (const ValueId input : step.inputs) {
      inputs.push_back(moved(input));
    }
    push(step.operation, std::move(inputs));
  }
  for (const auto& [name, value] : other.sites) {
    sites[prefix + name] = moved(value);
  }
  return moved(other.output);
}

namespace {

// One overload per primitive: a new primitive does not compile without one. A member that may be empty is optional.
std::vector<std::string> names_in(const Linear& linear) {
  return {linear.weight, linear.bias};
}
std::vector<std::string> names_in(const RmsNorm& norm) {
  return {norm.gain};
}
std::vector<std::string> names_in(const LayerNorm& norm) {
  return {norm.gain, norm.bias};
}
std::vector<std::string> names_in(const Rope& /*rope*/) {
  return {};
}
std::vector<std::string> names_in(const CausalAttention& /*attention*/) {
  return {};
}
std::vector<std::string> names_in(const SiluGate& /*gate*/) {
  return {};
}
std::vector<std::string> names_in(const GeluGate& /*gate*/) {
  return {};
}
std::vector<std::string> names_in(const Scale& /*scale*/) {
  return {};
}
std::vector<std::string> names_in(const SoftCap& /*cap*/) {
  return {};
}
std::vector<std::string> names_in(const Gelu& /*gelu*/) {
  return {};
}
std::vector<std::string> names_in(const Add& /*add*/) {
  return {};
}
std::vector<std::string> names_in(const Identity& /*identity*/) {
  return {};
}
std::vector<std::string> names_in(const Embedding& embedding) {
  return {embedding.table};
}
std::vector<std::string> names_in(const AddPositions& positions) {
  return {positions.table};
}
std::vector<std::string> names_in(const CrossEntropyHead& head) {
  return {head.weight};
}

}  // namespace

std::vector<std::string> parameter_names(const Operation& operation) {
  auto names = std::visit([](const auto& chosen) { return names_in(chosen); }, operation);
  std::erase(names, "");
  return names;
}

std::vector<std::string> whole_parameters(const Operation& operation) {
  return std::holds_alternative<Embedding>(operation) ? std::vector<std::string>() : parameter_names(operation);
}

std::vector<bool> needed_steps(const Program& program, const std::function<bool(ValueId)>& is_given) {
  std::vector<bool> needed(program.steps.size(), false);
  const auto mark = [&](ValueId value) {
    if (value >= program.n_inputs && !is_given(value)) {
      needed[static_cast<std::size_t>(value - program.n_inputs)] = true;
    }
  };
  mark(program.output);
  for (std::size_t i = program.steps.size(); i-- > 0;) {
    if (needed[i]) {
      for (const ValueId input : program.steps[i].inputs) {
        mark(input);
      }
    }
  }
  return needed;
}

std::vector<std::size_t> last_uses(const Program& program, const std::vector<bool>& needed) {
  std::vector<std::size_t> last(static_cast<std::size_t>(program.n_inputs) + program.steps.size(), 0);
  for (std::size_t i = 0; i < program.steps.size(); ++i) {
    if (needed[i]) {
      for (const ValueId input : program.steps[i].inputs) {
        last[static_cast<std::size_t>(input)] = i;
      }
    }
  }
  return last;
}

namespace {

/// Returns whether the step is an RMSNorm of the whole width, with the gain as it is stored.
bool is_plain_rms_norm(const Operation& operation) {
  const auto* const norm = std::get_if<RmsNorm>(&operation);
  return norm != nullptr && norm->heads == 1 && norm->gain_offset == 0;
}

/// Returns per value how often needed steps read it.
std::vector<int> count_readers(const Program& program, const std::vector<bool>& needed) {
  std::vector<int> readers(static_cast<std::size_t>(program.n_inputs) + program.steps.size(), 0);
  for (std::size_t i = 0; i < program.steps.size(); ++i) {
    for (const ValueId input : program.steps[i].inputs) {
      readers[static_cast<std::size_t>(input)] += needed[i] ? 1 : 0;
    }
  }
  return readers;
}

}  // namespace

std::vector<bool> simple_norms(const Program& program, const std::vector<bool>& needed) {
  const std::vector<int> readers = count_readers(program, needed);
  std::vector<bool> found(program.steps.size(), false);
  for (std::size_t i = 0; i + 1 < program.steps.size(); ++i) {
    const auto* const map = std::get_if<Linear>(&program.steps[i].operation);
    const ValueId result = program.n_inputs + static_cast<ValueId>(i);
    const Step& next = program.steps[i + 1];
    found[i] = needed[i] && needed[i + 1] && map != nullptr && map->bias.empty() && result != program.output &&
               is_plain_rms_norm(next.operation) && next.inputs.front() == result &&
               readers[static_cast<std::size_t>(result)] == 1;
  }
  return found;
}

std::vector<bool> simple_norm_gates(const Program& program, const std::vector<bool>& needed) {
  const std::vector<int> readers = count_readers(program, needed);
  const std::vector<bool> simple = simple_norms(program, needed);
  std::vector<bool> found(program.steps.size(), false);
  for (std::size_t i = 0; i + 4 < program.steps.size(); ++i) {
    const ValueId gate = program.n_inputs + static_cast<ValueId>(i) + 1;
    const ValueId up = gate + 2;
    const Step& last = program.steps[i + 4];
    const auto has_one_reader = [&](ValueId value) {
      return value != program.output && readers[static_cast<std::size_t>(value)] == 1;
    };
    found[i] = simple[i] && simple[i + 2] && needed[i + 4] && std::holds_alternative<SiluGate>(last.operation) &&
               last.inputs == std::vector<ValueId>{gate, up} && has_one_reader(gate) && has_one_reader(up);
  }
  return found;
}

std::vector<std::string> parameter_names(const Program& program) {
  std::vector<std::string> names;
  for (const Step& step : program.steps) {
    for (std::string& name : whole_parameters(step.operation)) {
      if (std::find(names.begin(), names.end(), name) == names.end()) {
        names.push_back(std::move(name));
      }
    }
  }
  return names;
}

}  // namespace hessian
