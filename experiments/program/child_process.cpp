#include "program/child_process.h"

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <stdexcept>
#include <system_error>
#include <utility>

#include "program/job_place.h"

namespace hessian::experiments {
namespace {

/// Replaces the forked child by the program. Must not allocate memory, because it runs between fork and exec.
[[noreturn]] void become(char* const* words, char* const* environment, const char* log, pid_t parent) {
  const int output = ::open(log, O_WRONLY | O_CREAT | O_APPEND, 0666);
  const int input = ::open("/dev/null", O_RDONLY);
  // The signal is sent when the parent dies; getppid() tells if it died before prctl().
  if (output < 0 || input < 0 || ::dup2(output, STDOUT_FILENO) < 0 || ::dup2(output, STDERR_FILENO) < 0 ||
      ::dup2(input, STDIN_FILENO) < 0 || ::prctl(PR_SET_PDEATHSIG, SIGTERM) != 0 || ::getppid() != parent) {
    ::_exit(127);
  }
  ::execvpe(words[0], words, environment);
  ::_exit(127);
}

int status_of(int wait_status) {
  return WIFEXITED(wait_status) ? WEXITSTATUS(wait_status) : 128 + WTERMSIG(wait_status);
}

/// Returns the environment without the variables of job_place(), which do not apply to the child, and without others.
std::vector<char*> environment_of_child(std::vector<std::string> hidden) {
  const auto& of_job = job_place_variables();
  hidden.insert(hidden.end(), of_job.begin(), of_job.end());
  std::vector<char*> kept;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string name(*entry, std::strcspn(*entry, "="));
    if (std::find(hidden.begin(), hidden.end(), name) == hidden.end()) {
      kept.push_back(*entry);
    }
  }
  kept.push_back(nullptr);
  return kept;
}

}  // namespace

ChildProcess::ChildProcess(const std::vector<std::string>& command, const std::filesystem::path& log,
                           const std::vector<std::string>& hidden) {
  std::vector<std::string> copies = command;
  std::vector<char*> words;
  for (std::string& word : copies) {
    words.push_back(word.data());
  }
  words.push_back(nullptr);
  const std::vector<char*> environment = environment_of_child(hidden);
  const pid_t parent = ::getpid();
  id_ = ::fork();
  if (id_ == 0) {
    become(words.data(), environment.data(), log.c_str(), parent);
  }
  if (id_ < 0) {
    throw std::runtime_error(command.front() + ": cannot be started: " + std::generic_category().message(errno));
  }
}

ChildProcess::ChildProcess(ChildProcess&& other) noexcept : id_(std::exchange(other.id_, -1)) {}

ChildProcess::~ChildProcess() {
  if (id_ > 0) {
    ::kill(id_, SIGKILL);
    ::waitpid(id_, nullptr, 0);
  }
}

std::optional<int> ChildProcess::poll() {
  int status = 0;
  if (id_ <= 0 || ::waitpid(id_, &status, WNOHANG) != id_) {
    return std::nullopt;
  }
  id_ = -1;
  return status_of(status);
}

int ChildProcess::wait() {
  int status = 0;
  while (::waitpid(id_, &status, 0) < 0 && errno == EINTR) {
  }
  id_ = -1;
  return status_of(status);
}

void ChildProcess::terminate() const {
  if (id_ > 0) {
    ::kill(id_, SIGTERM);
  }
}

std::filesystem::path this_program() {
  return std::filesystem::read_symlink("/proc/self/exe");
}

}  // namespace hessian::experiments
