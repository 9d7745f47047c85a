#include "program/job_place.h"

#include <charconv>
#include <cstdlib>
#include <optional>
#include <stdexcept>

namespace hessian::experiments {
namespace {

std::optional<std::string> variable(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr || *value == '\0' ? std::nullopt : std::optional<std::string>(value);
}

int number(const char* name, int min, int max, std::optional<int> otherwise = std::nullopt) {
  const auto word = variable(name);
  if (!word && otherwise) {
    return *otherwise;
  }
  int value = 0;
  const char* end = word ? word->data() + word->size() : nullptr;
  const auto parsed = word ? std::from_chars(word->data(), end, value) : std::from_chars_result{nullptr, std::errc()};
  if (!word || parsed.ec != std::errc() || parsed.ptr != end || value < min || value > max) {
    throw std::invalid_argument("environment: " + std::string(name) + (word ? " is '" + *word + "'" : " is not set") +
                                ", expected a whole number from " + std::to_string(min) + " to " + std::to_string(max) +
                                " because other variables of the launcher are set");
  }
  return value;
}

constexpr int max_processes = 1 << 20;
constexpr int max_port = 65535;

JobPlace torchrun_place() {
  JobPlace place;
  place.size = number("WORLD_SIZE", 1, max_processes);
  place.rank = number("RANK", 0, place.size - 1);
  place.local_size = number("LOCAL_WORLD_SIZE", 1, place.size, 1);
  place.local_rank = number("LOCAL_RANK", 0, place.size - 1, 0);
  if (place.size > 1) {
    const auto address = variable("MASTER_ADDR");
    if (!address) {
      throw std::invalid_argument("environment: MASTER_ADDR is not set, expected the host name of the first process");
    }
    place.address = *address;
    place.port = number("MASTER_PORT", 1, max_port);
  }
  place.store_is_up = variable("TORCHELASTIC_USE_AGENT_STORE") == "True";
  place.attempt = variable("TORCHELASTIC_RESTART_COUNT").value_or("0");
  return place;
}

JobPlace slurm_place() {
  JobPlace place;
  place.size = number("SLURM_STEP_NUM_TASKS", 1, max_processes);
  place.rank = number("SLURM_PROCID", 0, place.size - 1);
  place.local_rank = number("SLURM_LOCALID", 0, place.size - 1, 0);
  // "4(x2),3" does not say which number belongs to this machine; the first one is the largest.
  const std::string per_node = variable("SLURM_STEP_TASKS_PER_NODE").value_or("1");
  std::from_chars(per_node.data(), per_node.data() + per_node.size(), place.local_size);
  if (place.size > 1) {
    const auto hosts = variable("SLURM_STEP_NODELIST");
    place.address = variable("MASTER_ADDR").value_or(hosts ? first_host(*hosts) : "");
    if (place.address.empty()) {
      throw std::invalid_argument("environment: SLURM_STEP_NODELIST is not set; start the processes with srun");
    }
    // Jobs that share a machine need different ports, which are derived from the job number.
    constexpr int first_port = 20000;
    constexpr int ports = 20000;
    const int job = number("SLURM_JOB_ID", 0, 2147483647, 0);
    const int step = number("SLURM_STEP_ID", 0, 2147483647, 0);
    place.port = number("MASTER_PORT", 1, max_port, first_port + (job % ports + step % ports) % ports);
  }
  place.attempt = variable("SLURM_RESTART_COUNT").value_or("0");
  return place;
}

}  // namespace

JobPlace job_place() {
  if (variable("RANK") || variable("WORLD_SIZE")) {
    return torchrun_place();
  }
  // A batch script also sees the variables of the job; only srun sets those of a step.
  if (variable("SLURM_STEP_NUM_TASKS") && variable("SLURM_PROCID")) {
    return slurm_place();
  }
  return {};
}

const std::vector<std::string>& job_place_variables() {
  static const std::vector<std::string> names = {"RANK",
                                                 "WORLD_SIZE",
                                                 "LOCAL_RANK",
                                                 "LOCAL_WORLD_SIZE",
                                                 "MASTER_ADDR",
                                                 "MASTER_PORT",
                                                 "TORCHELASTIC_USE_AGENT_STORE",
                                                 "TORCHELASTIC_RESTART_COUNT",
                                                 "SLURM_STEP_NUM_TASKS",
                                                 "SLURM_PROCID",
                                                 "SLURM_LOCALID"};
  return names;
}

std::string first_host(const std::string& slurm_list) {
  const std::size_t bracket = slurm_list.find('[');
  const std::size_t comma = slurm_list.find(',');
  if (bracket == std::string::npos || comma < bracket) {
    return slurm_list.substr(0, comma);
  }
  const std::size_t end = slurm_list.find_first_of(",-]", bracket + 1);
  if (end == std::string::npos) {
    return slurm_list;
  }
  const std::size_t close = slurm_list.find(']', bracket);
  const std::string rest = close == std::string::npos ? "" : slurm_list.substr(close + 1);
  return slurm_list.substr(0, bracket) + slurm_list.substr(bracket + 1, end - bracket - 1) +
         rest.substr(0, rest.find(','));
}

}  // namespace hessian::experiments
